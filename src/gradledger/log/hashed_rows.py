"""Rows of a segment hashed as they are read: a part at a time, however large the segment is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import pyarrow as pa

from gradledger.canon import RowLayout
from gradledger.merkle import RootStream, joined_root, leaf_hashes
from gradledger.native import compiled_hashes
from gradledger.segment import encode_rows, read_parts, row_layout, step_ends

#: Fewer bytes of rows than these are hashed before a library is compiled, or loaded.
_WORTH_COMPILED: Final = 4096
#: Rows from which on reading, encoding and hashing share the processors.
_WORTH_THREADS: Final = 32_768

_Item = TypeVar("_Item")


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
    parts = read_parts(path)
    first = next(parts)
    if first.num_rows < _WORTH_THREADS:
        encoded = _encoded(chain([first], parts))
    else:
        encoded = _ahead(_encoded(chain([first], _ahead(parts))))
    layout, stream, ends = RowLayout(()), RootStream(), list[tuple[int, int]]()
    for layout, steps, rows in encoded:
        if rows is not None:
            _add(stream, rows, layout.row_bytes)
        if steps is not None:
            ends.append(steps)
    return HashedRows(
        layout,
        stream.size,
        stream.root(),
        min((first for first, _ in ends), default=None),
        max((last for _, last in ends), default=None),
    )


class _Encoded(NamedTuple):
    """First the steps of a part of a segment, then its rows in blocks."""

    layout: RowLayout
    steps: tuple[int, int] | None
    rows: Any


def _encoded(parts: Iterable[pa.Table]) -> Iterator[_Encoded]:
    for part in parts:
        layout = row_layout(part.schema)
        yield _Encoded(layout, step_ends(part), None)
        for block in encode_rows(part, layout):
            yield _Encoded(layout, None, block.data)


def _ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Give items, each while another thread makes the next one."""
    with ThreadPoolExecutor(1) as beside:
        following = beside.submit(next, items, None)
        while (item := following.result()) is not None:
            following = beside.submit(next, items, None)
            yield item


def _add(stream: RootStream, rows: memoryview, row_bytes: int) -> None:
    compiled = compiled_hashes() if len(rows) >= _WORTH_COMPILED else None
    if compiled is None:
        stream.add(b"".join(leaf_hashes(rows, row_bytes)), joined_root)
    else:
        stream.add(compiled.leaf_hashes(rows, row_bytes), compiled.root)
