"""One visit takes at most 6 bytes on disk in each parameter group, level shares.

Caveat: the whole visits table, identifiers and commitments included, over visits and groups of a
small decoder. The bar is for the default, which keeps float32 whole; beside it stands what
``visit_bits=12`` takes, within 1.2e-4 of each figure, a choice that a run records.
"""

from __future__ import annotations

from benchmarks.figure import Figure
from benchmarks.visit_bytes import SHORT, WHOLE, bytes_per_visit_and_group


def measure() -> list[Figure]:
    """Record, seal, and look at the files."""
    short, visits, groups = bytes_per_visit_and_group(SHORT)
    whole, _, _ = bytes_per_visit_and_group(WHOLE)
    caveat = f"{visits} visits in {groups} groups, zstd"
    key = "recorder.bytes_per_visit_and_group"
    return [
        Figure(key, whole, "bytes", bar=6.0, goal=5.0, caveat=f"{caveat}, visit_bits={WHOLE}"),
        Figure(f"{key}_short", short, "bytes", caveat=f"{caveat}, visit_bits={SHORT}"),
    ]
