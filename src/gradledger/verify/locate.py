"""Where in an altered file the change lies: column, page, tensor or line, as far as can be told.

A digest finds every change and places none. Segments carry a checksum per page, which names the
column; small files are searched for the one bit that differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gradledger.canon import parse_json
from gradledger.errors import InputError
from gradledger.log import COMMITMENTS_FOLDER
from gradledger.merkle import HASH_BYTES
from gradledger.schema import FileDigest
from gradledger.segment import cannot_read, damaged_columns, part_of_segment
from gradledger.verify.finding import Finding
from gradledger.verify.one_bit import find_bit, turned

_SEGMENT: Final = ".parquet"
_STATE: Final = ".safetensors"
_TEXTS: Final = frozenset({".json", ".yaml"})
_MAGIC_BYTES: Final = 4
#: Length of a safetensors header, before it.
_LENGTH_BYTES: Final = 8
#: Files above this length are not read into memory for a search.
_MAX_BYTES: Final = 1 << 24


def locate_change(run_dir: Path, file: FileDigest, place: str) -> Iterator[Finding]:
    """Say where the change in a file lies whose digest is not the logged one.

    Args:
        run_dir: The run.
        file: What the log says of the file.
        place: Where it lies now.
    """
    path = run_dir / place
    if path.suffix == _SEGMENT:
        columns = list(damaged_columns(path))
        for column, observed in columns:
            where = f"{place}, column {column}"
            yield Finding("V308", where, observed, "pages with the checksums that they carry")
        if columns:
            return
    if file.num_bytes > _MAX_BYTES:
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
    if len(content) != file.num_bytes:
        return
    bit = find_bit(content, file.sha256, _footer(content) if path.suffix == _SEGMENT else 0)
    if bit is None:
        return
    part = _part(turned(content, bit), bit // 8, path)
    observed = f"bit {bit % 8} of byte {bit // 8} turned"
    yield Finding("V308", f"{place}, {part}", observed, "all other bits are as they were logged")


def _footer(content: bytes) -> int:
    """Return where the footer of a segment begins, if its length can be believed."""
    length = int.from_bytes(content[-2 * _MAGIC_BYTES : -_MAGIC_BYTES], "little")
    start = len(content) - 2 * _MAGIC_BYTES - length
    return max(0, start)


def _part(content: bytes, place: int, path: Path) -> str:
    """Name the part of a file, as it was, that holds a byte."""
    if path.suffix == _SEGMENT:
        return part_of_segment(content, place)
    if path.suffix == _STATE:
        return _part_of_state(content, place)
    if path.suffix in _TEXTS:
        start = content.rfind(b"\n", 0, place) + 1
        number = content.count(b"\n", 0, place) + 1
        line = content[start:].split(b"\n", 1)[0].decode("utf-8", "replace").strip()
        return f"line {number}: {line:.60}"
    if path.parent.name == COMMITMENTS_FOLDER:
        return f"value {place // HASH_BYTES}"
    return f"byte {place}"


def _part_of_state(content: bytes, place: int) -> str:
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    try:
        header: Any = parse_json(content[_LENGTH_BYTES:start])
        for name, entry in header.items():
            first, last = entry.get("data_offsets", (0, 0))
            if start + first <= place < start + last:
                return f"tensor {name}"
    except (InputError, AttributeError, TypeError, ValueError):
        pass  # a file of arrays in name only
    return "header"
