"""What sealing a segment gives: its place, size and digest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SealedSegment:
    """A segment file on the disk.

    Attributes:
        name: Path below the run, with slashes.
        num_rows: Rows.
        min_step: Smallest step; None where the table has no steps.
        max_step: Largest step; None likewise.
        sha256: Digest of the file, 64 hex digits.
        num_bytes: Length of the file.
    """

    name: str
    num_rows: int
    min_step: int | None
    max_step: int | None
    sha256: str
    num_bytes: int
