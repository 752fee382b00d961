"""One visit takes at most 6 bytes on disk in each parameter group, level shares.

Caveat: the whole visits table, identifiers and commitments included, over visits and groups of a
small decoder. The bar is for figures of visits with 12 bits of fraction (``visit_bits=12``), which
is a choice that the run records; kept whole, as is the default, float32 hardly compresses.
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
        Figure(key, short, "bytes", bar=6.0, goal=5.0, caveat=f"{caveat}, visit_bits={SHORT}"),
        Figure(f"{key}_whole", whole, "bytes", caveat=f"{caveat}, visit_bits={WHOLE}, default"),
    ]
