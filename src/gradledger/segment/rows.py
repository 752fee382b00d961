"""Canonical rows of whole columns at once, byte for byte what ``canon.encode_row`` gives."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gradledger.canon import NAN_BITS, RowLayout, field_bytes, text_digest
from gradledger.native import compiled_hashes
from gradledger.segment.arrow import ARROW_TYPES, misfit

#: Rows that are encoded together; they fit the processor's cache.
BLOCK_ROWS: Final = 8192

_DTYPES: Final[dict[str, str]] = {
    "bool": "u1",
    "float32": "<f4",
    "float64": "<f8",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "timestamp": "<i8",
}
_DIGEST_BYTES: Final = 32
#: Texts from which on a call of C pays.
_WORTH_TEXTS: Final = 256
#: Texts that are looked at to tell whether a column repeats them.
_SAMPLED_TEXTS: Final = 1024


def row_layout(schema: pa.Schema) -> RowLayout:
    """Return the layout of a segment's rows.

    Raises:
        StorageError: A column has a type that no logical type stands for. Code S114.
    """
    columns = []
    for field in schema:
        kinds = [kind for kind, arrow in ARROW_TYPES.items() if arrow == field.type]
        if not kinds:
            raise misfit(f"the type {field.type}", "a logical type", f"column {field.name}")
        columns.append((field.name, kinds[0]))
    return RowLayout(tuple(columns))


def encode_rows(table: pa.Table, layout: RowLayout) -> Iterator[NDArray[np.uint8]]:
    """Give the canonical bytes of a table's rows, in blocks of rows x row bytes.

    Args:
        table: Rows with the columns of the layout.
        layout: From ``row_layout``.
    """
    runs = [_Run(table, layout, places) for places in _same_width(layout)]
    all_there = np.packbits(np.ones(len(layout.columns), np.uint8), bitorder="little")
    for start in range(0, table.num_rows, BLOCK_ROWS):
        count = min(BLOCK_ROWS, table.num_rows - start)
        rows = np.empty((count, layout.row_bytes), np.uint8)
        rows[:, : layout.presence_bytes] = all_there
        for run in runs:
            run.write(start, rows)
        yield rows


def _same_width(layout: RowLayout) -> Iterator[list[int]]:
    """Give runs of neighbouring columns that are numbers of one type; other columns singly."""

    def key(place: int) -> tuple[str, int]:
        kind = layout.columns[place][1]
        return (_DTYPES[kind], -1) if kind in _DTYPES else ("", place)

    for _, places in groupby(range(len(layout.columns)), key):
        yield list(places)


class _Run:
    """Neighbouring columns that are written together: a transposed copy beats many strided ones."""

    def __init__(self, table: pa.Table, layout: RowLayout, places: list[int]) -> None:
        named = [layout.columns[place] for place in places]
        self._columns = [_Column(table[name], kind) for name, kind in named]
        self._first_column, self._dtype = places[0], _DTYPES.get(named[0][1])
        self._start = layout.offsets[places[0]]

    def write(self, start: int, rows: NDArray[np.uint8]) -> None:
        """Write the values of rows from ``start`` on, and take back the bits of those that lack."""
        parts = []
        for place, column in enumerate(self._columns, self._first_column):
            values, there = column.block(start, len(rows))
            if there is not None:
                rows[:, place // 8] ^= (~there).astype(np.uint8) << np.uint8(place % 8)
            parts.append(values)
        if self._dtype is None:
            rows[:, self._start : self._start + parts[0].shape[1]] = parts[0]
            return
        block = np.empty((len(parts), len(rows)), self._dtype)
        for place, values in enumerate(parts):
            block[place] = values
        # The same memory as numbers, one row below the other; NumPy allows them to be unaligned.
        strides = (rows.strides[0], block.itemsize)
        numbers = np.ndarray(block.T.shape, self._dtype, rows, self._start, strides)
        numbers[...] = block.T


class _Column:
    """One column, ready to be cut into blocks."""

    def __init__(self, column: pa.ChunkedArray, kind: str) -> None:
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks)
        self._there: NDArray[Any] | None = None
        if array.null_count:
            self._there = array.is_valid().to_numpy(zero_copy_only=False)
        self._values = _values(array, kind)
        if self._there is not None:
            self._values = self._values.copy()
            self._values[~self._there] = 0

    def block(self, start: int, count: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return the values of some rows, and which are there; None where all are."""
        there = None if self._there is None else self._there[start : start + count]
        return self._values[start : start + count], there


def _values(array: pa.Array, kind: str) -> NDArray[Any]:
    """Return a column's values; what stands at absent places does not matter."""
    if kind == "string" and not array.null_count and _rarely_repeats(array):
        return np.frombuffer(_text_digests(array), np.uint8).reshape(-1, _DIGEST_BYTES)
    if kind in {"label", "string"}:
        return _text_values(array if kind == "label" else array.dictionary_encode())
    if kind.startswith(("digest", "bytes")):
        return _byte_values(array, field_bytes(kind))
    if kind == "timestamp":
        array = array.cast(pa.int64())
    if array.null_count:
        array = pc.fill_null(array, False if kind == "bool" else 0)
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    # The minimum is NaN where any value is, and takes no memory to find.
    if kind in NAN_BITS and len(values) and np.isnan(values.min()):
        unsigned = f"<u{field_bytes(kind)}"
        values = np.array(values, _DTYPES[kind])
        values.view(unsigned)[np.isnan(values)] = NAN_BITS[kind]
    return values


def _text_values(array: pa.DictionaryArray) -> NDArray[np.uint8]:
    texts = array.dictionary
    table = np.frombuffer(_text_digests(texts) + bytes(_DIGEST_BYTES), np.uint8)
    indices = pc.fill_null(array.indices, len(texts)).to_numpy(zero_copy_only=False)
    chosen: NDArray[np.uint8] = table.reshape(-1, _DIGEST_BYTES)[indices]
    return chosen


def _rarely_repeats(texts: pa.Array) -> bool:
    """Whether most texts are new, by the first of them: to look for repeats costs more then."""
    sample = texts.slice(0, _SAMPLED_TEXTS)
    return len(sample) == _SAMPLED_TEXTS and len(sample.unique()) > _SAMPLED_TEXTS // 2


def _text_digests(texts: pa.Array) -> bytes:
    """Return the digests of texts, one after another; zeros for what is absent."""
    compiled = compiled_hashes() if len(texts) >= _WORTH_TEXTS else None
    if compiled is None or texts.null_count or not _is_utf8(texts):
        return b"".join(
            bytes(_DIGEST_BYTES) if text is None else text_digest(text)
            for text in texts.to_pylist()
        )
    _, places, content = texts.buffers()
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    all_offsets = np.frombuffer(places, width)
    offsets = all_offsets[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    return compiled.text_hashes(content.address, offsets.ctypes.data, len(texts))


def _is_utf8(texts: pa.Array) -> bool:
    """Whether texts are in a form that is read in place, and what they say of themselves."""
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        return False
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return texts.buffers()[2] is not None


def _byte_values(array: pa.Array, width: int) -> NDArray[np.uint8]:
    content = np.frombuffer(array.buffers()[1], np.uint8).reshape(-1, width)
    return content[array.offset : array.offset + len(array)]
