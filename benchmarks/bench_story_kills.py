"""A run killed 100 times and resumed loses no step, counts none twice, ends in the same bits.

Caveat: kill -9 of the process only (no loss of power), a small model of 28 steps; half of
the kills come just before a call that changes the disk, half at random times, all from one seed.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.killed_run import kill_and_compare
from benchmarks.scratch import scratch

NUM_KILLS, SEED = 100, 20


def measure() -> list[Figure]:
    """Count what was lost, doubled or changed over all kills."""
    with scratch() as folder:
        outcomes = kill_and_compare(Path(folder), SEED, NUM_KILLS, 12)
    kills = sum(outcome.kills for outcome in outcomes)
    caveat = f"{kills} kills over {len(outcomes)} runs of 28 steps"
    counts = {
        "lost": sum(outcome.lost for outcome in outcomes),
        "doubled": sum(outcome.doubled for outcome in outcomes),
        "unequal": sum(len(outcome.unequal) for outcome in outcomes),
        "unbalanced": sum(outcome.unbalanced for outcome in outcomes),
    }
    return [
        Figure("story.kills", float(kills), "count", "higher", float(NUM_KILLS), caveat=caveat),
        *(
            Figure(f"story.kills_{name}", float(count), "count", "equal", 0.0, caveat=caveat)
            for name, count in counts.items()
        ),
        Figure(
            "story.kills_orphans",
            float(sum(outcome.orphans for outcome in outcomes)),
            "count",
            caveat="steps that were cut off, kept, and done again",
        ),
    ]
