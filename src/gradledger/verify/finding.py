"""Findings: what is not as the record says, each with a stable code and a place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gradledger.verify.catalogue import FINDINGS

_FIRST_NOTICE: Final = "V900"


@dataclass(frozen=True)
class Finding:
    """One thing that verification found.

    Attributes:
        code: A key of ``FINDINGS``.
        place: File below the run, leaf or row.
        observed: What is there.
        expected: What should be.
    """

    code: str
    place: str
    observed: str
    expected: str

    @property
    def title(self) -> str:
        """What the code means."""
        return FINDINGS[self.code]

    @property
    def is_notice(self) -> bool:
        """Whether it only says what a reader must know; nothing is wrong."""
        return self.code >= _FIRST_NOTICE

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"[{self.code}] {self.title}: observed {self.observed}, "
            f"expected {self.expected} ({self.place})"
        )
