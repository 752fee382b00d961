"""Names in a log: the origin that identifies it, the names of keys, and of odd places in a text."""

from __future__ import annotations

from typing import Final

from gradledger.errors import LogError

_MAX_BYTES: Final = 255


def check_name(name: str, where: str) -> str:
    """Return a name that signed notes can carry.

    Args:
        name: Such as ``example.org/runs/7``: not empty, at most 255 bytes, no spaces, no plus sign,
            no control characters.
        where: What is named, for the message.

    Raises:
        LogError: It is none. Code L105.

    Source:
        C2SP signed-note, section Format.
    """
    odd = [sign for sign in name if sign.isspace() or sign == "+" or not sign.isprintable()]
    if not name or odd or len(name.encode("utf-8", "replace")) > _MAX_BYTES:
        raise LogError(
            "L105",
            observed=f"{name[:60]!r}",
            expected="1 to 255 bytes without spaces, plus or control characters",
            where=where,
            hint="take a form like example.org/runs/7; nothing need answer there",
        )
    return name


def first_odd(expected: bytes, found: bytes) -> int:
    """Return the first byte in which two texts differ, or the length of the shorter."""
    pairs = enumerate(zip(expected, found, strict=False))
    shorter = min(len(expected), len(found))
    return next((place for place, (one, two) in pairs if one != two), shorter)
