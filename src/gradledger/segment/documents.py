"""Small JSON documents of a run: whole or absent, and read strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gradledger.canon import parse_json, to_plain
from gradledger.segment.files import cannot_read, write_bytes_atomic


def write_json(path: Path, record: object, *, mode: int = 0o666) -> str:
    """Write a record as JSON, atomically.

    Args:
        path: Final name; folders that lack are made.
        record: Dataclasses, mappings with text keys, tuples, lists, enums, numbers, text. NaN and
            infinities are written as the texts ``"NaN"``, ``"Infinity"``, ``"-Infinity"``: a run
            whose books are not finite must be closed all the same.
        mode: Permission bits before the umask.

    Returns:
        SHA-256 of the file, 64 hex digits.

    Raises:
        InputError: A value has no place in JSON. Code I121.
        StorageError: The disk refuses. Code S112.
    """
    plain = to_plain(record, non_finite_as_text=True)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True)
    return write_bytes_atomic(path, f"{text}\n".encode(), mode=mode)


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        InputError: The text is not strict JSON. Code I122.
        StorageError: The file cannot be read. Code S113.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
    return parse_json(content, str(path))
