"""One visit takes at most 6 bytes on disk in each parameter group, level shares.

Caveat: the whole visits table, identifiers and commitments included, over visits and groups of a
small decoder; alignment and gradient norm are kept as float32 without loss.
"""

from __future__ import annotations

from benchmarks.figure import Figure
from benchmarks.visit_bytes import bytes_per_visit_and_group


def measure() -> list[Figure]:
    """Record, seal, and look at the files."""
    value, visits, groups = bytes_per_visit_and_group()
    caveat = f"{visits} visits in {groups} groups, zstd"
    return [
        Figure(
            "recorder.bytes_per_visit_and_group", value, "bytes", "lower", 6.0, 5.0, caveat=caveat
        )
    ]
