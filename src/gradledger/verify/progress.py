"""How far verification has come: what it looks at, and the bytes of files that lie behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One moment of a verification.

    Attributes:
        what: What is checked now, in a few words.
        num_bytes: Bytes of files that were checked.
        total_bytes: Bytes of all files that will be; 0 as long as that is not known.
    """

    what: str
    num_bytes: int = 0
    total_bytes: int = 0


#: Called at every step of a verification.
OnProgress = Callable[[Progress], None]


def untold(_: Progress) -> None:
    """Tell nobody."""
