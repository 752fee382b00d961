"""The one bit that differs: what a failing disk changes, told apart from what a hand changes.

A digest says that a file is not what was logged, not where. For files of some kilobytes every bit
can be tried: if turning one back gives the logged digest, then this is the change, and the file as
it was is known too.
"""

from __future__ import annotations

import hashlib
from typing import Final

#: Bytes that may be hashed for one file: about a second, which files of 23 kB need.
MAX_HASHED_BYTES: Final = 1 << 31


def find_bit(content: bytes, sha256: str, first: int = 0) -> int | None:
    """Return the place of the one bit that must be turned back to give a digest.

    Args:
        content: The altered file.
        sha256: What its digest should be, 64 hex digits.
        first: Byte from which to search before what lies in front of it.

    Returns:
        Bit ``place % 8`` of byte ``place // 8``; None where no single bit will do, or the file is
        too long.
    """
    if 4 * len(content) ** 2 > MAX_HASHED_BYTES:
        return None
    wanted = bytes.fromhex(sha256)
    found = _between(content, wanted, first, len(content))
    return _between(content, wanted, 0, first) if found is None else found


def _between(content: bytes, wanted: bytes, start: int, stop: int) -> int | None:
    view, prefix = memoryview(content), hashlib.sha256(content[:start])
    for place in range(start, stop):
        rest = view[place + 1 :]
        for bit in range(8):
            trial = prefix.copy()
            trial.update(bytes([content[place] ^ (1 << bit)]))
            trial.update(rest)
            if trial.digest() == wanted:
                return 8 * place + bit
        prefix.update(view[place : place + 1])
    return None


def turned(content: bytes, place: int) -> bytes:
    """Return the content with one bit turned."""
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)
