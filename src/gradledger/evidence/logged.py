"""What the log of a run holds, by what one looks for: segments by file, policies, states, seals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from gradledger.canon import read_leaf
from gradledger.errors import LogError
from gradledger.evidence.receipt import ProvedLeaf, ProvedRow
from gradledger.log import LogReader, SegmentRows
from gradledger.schema import Leaf, SegmentLeaf

L = TypeVar("L", bound=Leaf)


class LoggedRun:
    """A run's log, read once.

    Args:
        run_dir: The run.

    Attributes:
        run_dir: The run.
        reader: Its log.
        leaves: Leaves that the last checkpoint covers.

    Raises:
        LogError: There is no log, or it is damaged. Code L132.
        InputError: A leaf is malformed. Code I122.
        StorageError: A file cannot be read. Code S113.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = Path(run_dir)
        self.reader = LogReader(self.run_dir)
        self._contents = list(self.reader.leaves())
        self.leaves = [read_leaf(content) for content in self._contents]
        # A resume may log a path anew; the last leaf is the one of the file that is there.
        self._segments = {
            leaf.files[0].path: index
            for index, leaf in enumerate(self.leaves)
            if isinstance(leaf, SegmentLeaf) and leaf.files
        }

    def of_kind(self, kind: type[L]) -> Iterator[tuple[int, L]]:
        """Give the leaves of a kind with their indices."""
        for index, leaf in enumerate(self.leaves):
            if isinstance(leaf, kind):
                yield index, leaf

    def prove_leaf(self, index: int, rows: SegmentRows | None = None) -> ProvedLeaf:
        """Return a leaf with its receipt."""
        columns = rows.layout.columns if rows else None
        return ProvedLeaf(self._contents[index], self.reader.receipt(index), columns)

    def prove(
        self, places: Sequence[tuple[str, int]], others: Sequence[int] = (), *, hide: frozenset[str]
    ) -> tuple[tuple[ProvedLeaf, ...], tuple[ProvedRow, ...]]:
        """Return rows with their proofs, and the leaves that they and others rest on.

        Args:
            places: Path of a segment and place of a row in it.
            others: Indices of further leaves.
            hide: Columns whose texts stay out.

        Raises:
            LogError: A segment is not in the log, or not as its leaf says (L181).
            StorageError: A segment cannot be read. Codes S113 to S115.
        """
        wanted: dict[int, list[int]] = {}
        for path, row in places:
            wanted.setdefault(self._segment(path), []).append(row)
        leaves: list[ProvedLeaf] = []
        rows: list[ProvedRow] = []
        for index in sorted({*wanted, *others}):
            segment = None
            if index in wanted:
                leaf = self.leaves[index]
                if isinstance(leaf, SegmentLeaf):
                    segment = SegmentRows(self.run_dir, leaf)
                    rows += _rows(segment, len(leaves), wanted[index], hide)
            leaves.append(self.prove_leaf(index, segment))
        return tuple(leaves), tuple(rows)

    def _segment(self, path: str) -> int:
        if path not in self._segments:
            raise LogError(
                "L181",
                observed=f"no leaf for {path}",
                expected="a segment that the last checkpoint covers",
                where=str(self.reader.log_dir),
                hint="publish the log first, if the segment was sealed only just now",
            )
        return self._segments[path]


def _rows(
    segment: SegmentRows, place: int, indices: Sequence[int], hide: frozenset[str]
) -> Iterator[ProvedRow]:
    for index in sorted(set(indices)):
        texts = {name: text for name, text in segment.texts(index).items() if name not in hide}
        yield ProvedRow(place, index, segment.row(index), segment.proof(index), texts)
