from __future__ import annotations

import hashlib
import math
import struct
from datetime import UTC, datetime

import pytest

from gradledger.canon import ROW_CODES, RowLayout, decode_row, encode_row, field_bytes, text_digest
from gradledger.errors import InputError

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
GOOD = {
    "bool": True,
    **{f"bytes{size}": bytes(range(64)) * (size // 64) for size in (64, 128, 256, 512, 1024)},
    "digest": bytes(range(32)),
    "float32": 0.5,
    "float64": -0.1,
    "int16": -2,
    "int32": 2**31 - 1,
    "int64": -(2**63),
    "label": "open",
    "string": "é",
    "timestamp": MOMENT,
}


def test_every_type_has_a_width_and_a_value_that_comes_back() -> None:
    assert GOOD.keys() == ROW_CODES.keys()
    layout = RowLayout(tuple((kind, kind) for kind in ROW_CODES))
    content = encode_row(layout, GOOD)
    assert len(content) == layout.row_bytes == 2 + sum(map(field_bytes, ROW_CODES))
    texts = {"label": text_digest("open"), "string": text_digest("é")}
    assert decode_row(layout, content) == {**GOOD, **texts}


def test_the_bytes_are_those_of_the_format() -> None:
    layout = RowLayout((("a", "int16"), ("b", "float32"), ("c", "string"), ("d", "bool")))
    content = encode_row(layout, {"a": -2, "b": None, "c": "x", "d": True})
    digest = hashlib.sha256(b"x").digest()
    assert content == b"\x0d" + b"\xfe\xff" + bytes(4) + digest + b"\x01"
    assert layout.offsets == (1, 3, 7, 39)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_there_is_one_nan_and_two_zeros(kind: str) -> None:
    layout = RowLayout((("x", kind),))
    other = struct.unpack("<d", bytes.fromhex("010000000000f8ff"))[0]
    assert math.isnan(other)
    assert encode_row(layout, {"x": other}) == encode_row(layout, {"x": math.nan})
    assert encode_row(layout, {"x": -0.0}) != encode_row(layout, {"x": 0.0})
    assert encode_row(layout, {"x": 0.0}) != encode_row(layout, {"x": None})


def test_names_types_and_order_are_in_the_digest() -> None:
    layouts = [
        RowLayout((("a", "int16"), ("b", "int32"))),
        RowLayout((("b", "int32"), ("a", "int16"))),
        RowLayout((("a", "int32"), ("b", "int16"))),
        RowLayout((("a", "int16"),)),
        RowLayout(()),
    ]
    assert len({layout.columns_sha256 for layout in layouts}) == len(layouts)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("bool", 1),
        ("int16", 2**15),
        ("int16", 1.5),
        ("int32", "1"),
        ("int64", 2**63),
        ("float32", 1e39),
        ("float64", "x"),
        ("string", b"x"),
        ("string", "\ud800"),
        ("digest", bytes(31)),
        ("digest", "x" * 32),
        ("timestamp", datetime(2026, 1, 1)),  # noqa: DTZ001
    ],
)
def test_what_does_not_fit_is_refused(kind: str, value: object) -> None:
    with pytest.raises(InputError, match="I121"):
        encode_row(RowLayout((("x", kind),)), {"x": value})


def test_layouts_and_rows_that_are_none() -> None:
    with pytest.raises(InputError, match="I121"):
        RowLayout((("x", "decimal"),))
    layout = RowLayout((("x", "int16"),))
    with pytest.raises(InputError, match="I121"):
        encode_row(layout, {})
    for content in (b"", b"\x01\x00", b"\x00\x01\x00"):
        with pytest.raises(InputError, match="I121"):
            decode_row(layout, content)
