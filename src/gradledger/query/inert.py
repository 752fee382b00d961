"""Make strings of a run safe to show: no control characters, no direction tricks, bounded."""

from __future__ import annotations

from typing import Any

_LATIN, _BASIC = 0xFF, 0xFFFF


def inert(value: Any, limit: int = 120) -> str:
    """Return ``value`` as one line of visible characters, at most ``limit`` long.

    Metadata comes from strangers: an escape sequence in a path could repaint a terminal, and a
    right-to-left override could make one file name look like another.
    """
    parts: list[str] = []
    length = 0
    for char in str(value):
        shown = char if char.isprintable() else _escape(char)
        length += len(shown)
        if length > limit:
            return "".join(parts)[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
        parts.append(shown)
    return "".join(parts)


def _escape(char: str) -> str:
    number = ord(char)
    if number <= _LATIN:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= _BASIC else f"\\U{number:08x}"
