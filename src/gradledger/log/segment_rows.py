"""Rows of one segment with their proofs: the segment is read and hashed once for all of them."""

from __future__ import annotations

from pathlib import Path

from gradledger.canon import RowLayout
from gradledger.errors import LogError
from gradledger.merkle import inclusion_proof, leaf_hashes, node_hash
from gradledger.schema import SegmentLeaf
from gradledger.segment import encode_rows, read_segment, row_layout


class SegmentRows:
    """The rows of a segment that a leaf commits to.

    Args:
        run_dir: The run.
        leaf: Leaf of the segment.

    Attributes:
        layout: Names and types of the columns.

    Raises:
        LogError: The rows are not what the leaf commits to. Code L181.
        StorageError: The segment cannot be read. Codes S114 and S115.
    """

    def __init__(self, run_dir: Path, leaf: SegmentLeaf) -> None:
        path = Path(run_dir) / leaf.files[0].path
        self._table = read_segment(path)
        self.layout: RowLayout = row_layout(self._table.schema)
        hashes: list[bytes] = []
        for block in encode_rows(self._table, self.layout):
            hashes += leaf_hashes(block.data, self.layout.row_bytes)
        self._levels = _levels(hashes)
        root = self._levels[-1][0].hex() if hashes else ""
        if (len(hashes), root) != (leaf.num_rows, leaf.inner_root):
            raise LogError(
                "L181",
                observed=f"{len(hashes)} rows with the root {root}",
                expected=f"{leaf.num_rows} rows with the root {leaf.inner_root}",
                where=str(path),
                hint="verify the run, and restore the segment from a copy",
            )

    @property
    def num_rows(self) -> int:
        """Rows of the segment."""
        return len(self._levels[0])

    def row(self, index: int) -> bytes:
        """Return the canonical bytes of a row."""
        return next(encode_rows(self._table.slice(index, 1), self.layout)).tobytes()

    def proof(self, index: int) -> tuple[bytes, ...]:
        """Return the inclusion proof from a row to the inner root.

        Raises:
            LogError: There is no such row. Code L122.
        """
        return tuple(
            inclusion_proof(index, self.num_rows, lambda height, place: self._levels[height][place])
        )

    def texts(self, index: int) -> dict[str, str]:
        """Return the texts of a row, by column: what its digests stand for."""
        return {
            name: value
            for name, kind in self.layout.columns
            if kind in {"label", "string"}
            and (value := self._table[name][index].as_py()) is not None
        }


def _levels(hashes: list[bytes]) -> list[list[bytes]]:
    """Return the hashes of perfect subtrees by height; the last one is the root alone."""
    levels = [hashes]
    while len(levels[-1]) > 1:
        low = levels[-1]
        pairs = zip(low[::2], low[1::2], strict=False)
        levels.append([node_hash(left, right) for left, right in pairs] + low[len(low) & ~1 :])
    return levels
