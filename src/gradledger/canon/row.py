"""Rows of tables as bytes of fixed width, so that a tree over them can be computed fast.

A row is one bit per column that says whether the value is there, then each value little-endian in
its type's width; what is absent is zeros. Texts are stood for by their SHA-256, so that the width
is fixed; every NaN is the same quiet NaN. ``segment`` has the same encoding for whole columns.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, Final

from gradledger.canon.digest import record_digest
from gradledger.errors import InputError

ROW_FORMAT: Final = "gradledger.row/1"

#: Logical type -> ``struct`` code of its little-endian form.
ROW_CODES: Final[dict[str, str]] = {
    "bool": "?",
    "digest": "32s",
    "float32": "f",
    "float64": "d",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "label": "32s",
    "string": "32s",
    "timestamp": "q",
    **{f"bytes{width}": f"{width}s" for width in (64, 128, 256, 512, 1024)},
}
#: Bits of the one NaN of each floating type.
NAN_BITS: Final[dict[str, int]] = {"float32": 0x7FC00000, "float64": 0x7FF8000000000000}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RowLayout:
    """Names and logical types of the columns, in order.

    Attributes:
        columns: Pairs of name and logical type, a key of ``ROW_CODES``.

    Raises:
        InputError: A type is not known. Code I121.
    """

    columns: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        for name, kind in self.columns:
            if kind not in ROW_CODES:
                raise _unwritable(f"the type {kind!r}", f"one of {', '.join(ROW_CODES)}", name)

    @property
    def presence_bytes(self) -> int:
        """Bytes of the presence bits: bit ``i % 8`` of byte ``i // 8`` is column ``i``."""
        return (len(self.columns) + 7) // 8

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First byte of each value."""
        places, place = [], self.presence_bytes
        for _, kind in self.columns:
            places.append(place)
            place += field_bytes(kind)
        return tuple(places)

    @property
    def row_bytes(self) -> int:
        """Width of a row."""
        return self.presence_bytes + sum(field_bytes(kind) for _, kind in self.columns)

    @property
    def columns_sha256(self) -> str:
        """Digest of the names and types: what a leaf of the log says of them."""
        return _columns_digest(self.columns)


@lru_cache(maxsize=64)
def _columns_digest(columns: tuple[tuple[str, str], ...]) -> str:
    """Return the digest of names and types; every segment of a table asks for the same."""
    return record_digest("row/1", columns)


def field_bytes(kind: str) -> int:
    """Return the width of a value of a logical type."""
    return struct.calcsize(f"<{ROW_CODES[kind]}")


def encode_row(layout: RowLayout, row: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of one row.

    Args:
        layout: The columns.
        row: Name -> value; None where it is absent. Timestamps have a time zone; digests are 32
            bytes.

    Raises:
        InputError: A column lacks, or a value does not fit its type. Code I121.
    """
    presence, parts = bytearray(layout.presence_bytes), []
    for place, (name, kind) in enumerate(layout.columns):
        if name not in row:
            raise _unwritable("no value", "one for every column, if only None", name)
        value = row[name]
        if value is None:
            parts.append(bytes(field_bytes(kind)))
            continue
        presence[place // 8] |= 1 << place % 8
        try:
            parts.append(_encode(value, kind))
        except (struct.error, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise _unwritable(f"{value!r:.60}", f"a value of type {kind}", name) from error
    return bytes(presence) + b"".join(parts)


def decode_row(layout: RowLayout, content: bytes) -> dict[str, Any]:
    """Return the values of a row; texts come back as their 32-byte digests.

    Raises:
        InputError: The bytes have another width, or are not what ``encode_row`` gives. Code I121.
    """
    if len(content) != layout.row_bytes:
        raise _unwritable(f"{len(content)} bytes", f"{layout.row_bytes}", "row")
    row: dict[str, Any] = {}
    for place, ((name, kind), start) in enumerate(zip(layout.columns, layout.offsets, strict=True)):
        piece = content[start : start + field_bytes(kind)]
        present = content[place // 8] >> place % 8 & 1
        row[name] = _decode(piece, kind) if present else None
        if not present and any(piece):
            raise _unwritable("bytes of an absent value", "zeros", name)
    return row


def text_digest(text: str) -> bytes:
    """Return what stands for a text in a row: the SHA-256 of its UTF-8."""
    return hashlib.sha256(text.encode()).digest()


def _encode(value: Any, kind: str) -> bytes:
    if kind in {"label", "string"}:
        return text_digest(value)
    if kind.startswith(("digest", "bytes")) and len(value) != field_bytes(kind):
        message = f"not {field_bytes(kind)} bytes"
        raise ValueError(message)
    if kind == "bool" and type(value) is not bool:
        message = "not a truth value"
        raise TypeError(message)
    if kind == "timestamp":
        moment = value - _EPOCH
        value = (moment.days * 86_400 + moment.seconds) * 1_000_000 + moment.microseconds
    if kind in NAN_BITS and math.isnan(value):
        return NAN_BITS[kind].to_bytes(field_bytes(kind), "little")
    return struct.pack(f"<{ROW_CODES[kind]}", value)


def _decode(piece: bytes, kind: str) -> Any:
    value = struct.unpack(f"<{ROW_CODES[kind]}", piece)[0]
    if kind != "timestamp":
        return value
    return _EPOCH + timedelta(microseconds=value)


def _unwritable(observed: str, expected: str, name: str) -> InputError:
    return InputError("I121", observed=observed, expected=expected, where=f"column {name}")
