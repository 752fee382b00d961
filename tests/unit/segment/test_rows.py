"""Rows of whole columns against the plain encoding, one row at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradledger.canon import ROW_CODES, encode_row, text_digest
from gradledger.errors import StorageError
from gradledger.segment import (
    ARROW_TYPES,
    SegmentWriter,
    encode_rows,
    read_segment,
    row_layout,
)
from gradledger.segment import rows as rows_module

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    **{
        f"bytes{size}": st.binary(min_size=size, max_size=size)
        for size in (64, 128, 256, 512, 1024)
    },
    "digest": st.binary(min_size=32, max_size=32),
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "label": st.text(max_size=3),
    "string": st.text(max_size=9),
    "timestamp": st.datetimes(
        datetime(1900, 1, 1),  # noqa: DTZ001
        datetime(2200, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
}


def plain(table: pa.Table) -> list[bytes]:
    layout = row_layout(table.schema)
    return [encode_row(layout, row) for row in table.to_pylist()]


def columnwise(table: pa.Table) -> list[bytes]:
    layout = row_layout(table.schema)
    blocks = list(encode_rows(table, layout))
    assert all(block.shape[1] == layout.row_bytes for block in blocks)
    return [row.tobytes() for block in blocks for row in block]


def test_every_logical_type_has_a_canonical_form() -> None:
    assert ROW_CODES.keys() == ARROW_TYPES.keys() == VALUES.keys()


@settings(deadline=None)
@given(st.data())
def test_columns_at_once_and_rows_one_by_one_give_the_same_bytes(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=12))
    num_rows = data.draw(st.integers(0, 8))
    columns, names = [], []
    for place, kind in enumerate(kinds):
        value = st.one_of(st.none(), VALUES[kind]) if data.draw(st.booleans()) else VALUES[kind]
        values = data.draw(st.lists(value, min_size=num_rows, max_size=num_rows))
        columns.append(pa.array(values, ARROW_TYPES[kind]))
        names.append(f"c{place}")
    table = pa.table(columns, names)
    if num_rows > 1 and data.draw(st.booleans()):
        cut = data.draw(st.integers(1, num_rows - 1))
        table = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert columnwise(table) == plain(table)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table(
        {
            "step": pa.array(range(100), pa.int32()),
            "x": pa.array([None if n % 7 == 0 else n / 3 for n in range(100)], pa.float32()),
            "y": pa.array([float("nan") if n % 5 == 0 else n for n in range(100)], pa.float32()),
        }
    )
    whole = columnwise(table)
    monkeypatch.setattr(rows_module, "BLOCK_ROWS", 7)
    assert columnwise(table) == whole == plain(table)


def test_a_sealed_segment(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "visits", {"align_0": "float32"})
    writer.append(
        {
            "step": np.arange(5, dtype=np.int32),
            "micro_batch": np.zeros(5, np.int16),
            "position": np.zeros(5, np.int16),
            "example": np.arange(5, dtype=np.int32),
            "decision": np.zeros(5, np.int32),
            "loss": [None, 0.5, float("nan"), float("inf"), -0.0],
            "tokens": [None] * 5,
            "digest": [None, *(bytes([n]) * 32 for n in range(4))],
            "align_0": np.ones(5, np.float32),
        }
    )
    sealed = writer.seal()
    assert sealed
    table = read_segment(tmp_path / sealed.name)
    assert row_layout(table.schema) == row_layout(writer.schema)
    assert columnwise(table) == plain(table)


def test_types_that_no_table_has() -> None:
    with pytest.raises(StorageError, match="S114"):
        row_layout(pa.schema([("x", pa.decimal128(5))]))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("distinct", [3, 1500, 5000])
def test_many_texts(kind: pa.DataType, distinct: int) -> None:
    texts = pa.array(
        ["", "a", *("\u00e9" * (n % 97) + str(n % distinct) for n in range(5000))], kind
    )
    absent = pa.array([None if n % 5 == 0 else str(n % distinct) for n in range(5002)], kind)
    for array in (texts, texts.slice(7, 4000), absent, absent.slice(3), texts.slice(1, 1)):
        for column in (array, array.dictionary_encode()):
            found = rows_module._values(
                column, "label" if pa.types.is_dictionary(column.type) else "string"
            )
            expected = [
                bytes(32) if text is None else text_digest(text) for text in column.to_pylist()
            ]
            there = column.is_valid().to_numpy(zero_copy_only=False)
            assert found[there].tobytes() == b"".join(np.array(expected, object)[there])


def test_texts_that_are_no_text_are_refused_however_many() -> None:
    content, offsets = b"\xff" * 2000, np.arange(2001, dtype=np.int32)
    broken = pa.Array.from_buffers(
        pa.string(), 2000, [None, pa.py_buffer(offsets), pa.py_buffer(content)]
    )
    with pytest.raises(UnicodeDecodeError):
        rows_module._text_digests(broken)


def test_a_dictionary_with_an_absent_text() -> None:
    texts = pa.array([*(str(number) for number in range(300)), None])
    column = pa.DictionaryArray.from_arrays(pa.array([300, 0], pa.int32()), texts)
    found = rows_module._values(column, "label")
    assert found.tobytes() == bytes(32) + text_digest("0")
