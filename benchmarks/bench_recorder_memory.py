"""Recording at level shares takes at most 1.6 times the peak memory of training alone.

Caveat: growth of the resident peak of a process from before the model was built to the end of four
steps of the decoder, one process per arm; what importing takes is in none of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.figure import Figure

ROOT = Path(__file__).resolve().parents[1]


def measure() -> list[Figure]:
    """Train in a process of its own for each arm."""
    grown = {arm: _grown(arm) for arm in ("plain", "shares", "substitute", "decisions")}
    plain = grown["plain"]
    others = ", ".join(f"{arm} {grown[arm] / plain:.2f}" for arm in ("substitute", "decisions"))
    return [
        Figure(
            "recorder.peak_memory_shares",
            grown["shares"] / plain,
            "ratio",
            "lower",
            1.6,
            1.3,
            caveat=f"decoder, B 8; {others}",
        ),
        Figure("recorder.peak_memory_plain", plain, "bytes"),
    ]


def _grown(arm: str) -> int:
    command = [sys.executable, "-m", "benchmarks.peak_memory", arm]
    return int(subprocess.check_output(command, cwd=ROOT, text=True).split()[-1])
