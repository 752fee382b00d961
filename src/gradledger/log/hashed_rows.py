"""Rows of a segment hashed as they are read: a part at a time, however large the segment is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gradledger.canon import RowLayout
from gradledger.merkle import RootStream, joined_root, leaf_hashes
from gradledger.native import compiled_hashes
from gradledger.segment import encode_rows, read_parts, row_layout, step_ends

#: Fewer rows than these are hashed before a library is compiled, or loaded.
_WORTH_ROWS: Final = 4096


@dataclass(frozen=True)
class HashedRows:
    """What the leaf of a segment says of its rows, from the rows themselves.

    Attributes:
        layout: Names and types of the columns.
        num_rows: How many there are.
        inner_root: Root hash over them.
        min_step: Smallest value of the column ``step``; None where there is no such column.
        max_step: Largest value, likewise.
    """

    layout: RowLayout
    num_rows: int
    inner_root: bytes
    min_step: int | None
    max_step: int | None


def hash_segment(path: Path) -> HashedRows:
    """Hash the rows of a segment, in order.

    Raises:
        StorageError: The segment cannot be read. Codes S114 and S115.
    """
    layout: RowLayout | None = None
    stream, smallest, largest = RootStream(), list[int](), list[int]()
    for part in read_parts(path):
        layout = row_layout(part.schema) if layout is None else layout
        for block in encode_rows(part, layout):
            _add(stream, block.data, layout.row_bytes)
        ends = step_ends(part)
        if ends is not None:
            smallest.append(ends[0])
            largest.append(ends[1])
    return HashedRows(
        layout if layout is not None else RowLayout(()),
        stream.size,
        stream.root(),
        min(smallest, default=None),
        max(largest, default=None),
    )


def _add(stream: RootStream, rows: memoryview, row_bytes: int) -> None:
    compiled = compiled_hashes() if len(rows) >= _WORTH_ROWS else None
    if compiled is None:
        stream.add(b"".join(leaf_hashes(rows, row_bytes)), joined_root)
    else:
        stream.add(compiled.leaf_hashes(rows, row_bytes), compiled.root)
