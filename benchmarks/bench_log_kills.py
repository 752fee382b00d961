"""A signed run killed 300 times and resumed loses nothing, doubles nothing, and verifies clean.

Caveat: kill -9 of the process only (no loss of power), a small model of 28 steps; half of the kills
come just before a call that changes the disk, half at random times, from two seeds. Each life is a
fork of a process that has imported torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.killed_outcome import Outcome
from benchmarks.killed_run import NUM_STEPS, kill_and_compare
from benchmarks.scratch import scratch

NUM_KILLS, NUM_PROCESSES, MOST_PER_RUN, SEED = 300, 2, 12, 40


def measure(num_kills: int = NUM_KILLS) -> list[Figure]:
    """Count what was lost, doubled or changed over all kills, and what verification finds."""
    each = -(-num_kills // NUM_PROCESSES)
    with ProcessPoolExecutor(NUM_PROCESSES, mp_context=get_context("spawn")) as pool:
        parts = pool.map(_killed, range(SEED, SEED + NUM_PROCESSES), [each] * NUM_PROCESSES)
        outcomes = [outcome for part in parts for outcome in part]
    return figures(outcomes, num_kills)


def _killed(seed: int, num_kills: int) -> list[Outcome]:
    with scratch() as folder:
        return kill_and_compare(Path(folder), seed, num_kills, MOST_PER_RUN, signed=True)


def figures(outcomes: Sequence[Outcome], num_kills: int) -> list[Figure]:
    """Return the figures of killed runs."""
    kills = sum(outcome.kills for outcome in outcomes)
    sealed = sum(len(outcome.sealed) for outcome in outcomes)
    caveat = f"{kills} kills over {len(outcomes)} signed runs of {NUM_STEPS} steps"
    bars = total(outcomes)
    facts = {
        "sealed_segments": (sealed, "sealed when a kill came, each kept byte for byte"),
        "orphans": (
            sum(outcome.orphans for outcome in outcomes),
            "steps that were cut off, kept, and done again",
        ),
        "clean_cuts": (
            sum(outcome.clean_cuts for outcome in outcomes),
            "kills after which the run verified clean as it lay, before it was resumed",
        ),
    }
    return [
        Figure("log.kills", float(kills), "count", "higher", float(num_kills), caveat=caveat),
        *(
            Figure(f"log.kills_{name}", float(count), "count", "equal", 0.0, caveat=caveat)
            for name, count in bars.items()
        ),
        *(
            Figure(f"log.kills_{name}", float(count), "count", caveat=said)
            for name, (count, said) in facts.items()
        ),
    ]


def total(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return what must be nothing, over all runs."""
    return {
        "lost": sum(outcome.lost for outcome in outcomes),
        "lost_segments": sum(outcome.lost_segments for outcome in outcomes),
        "doubled": sum(outcome.doubled for outcome in outcomes),
        "unequal": sum(len(outcome.unequal) for outcome in outcomes),
        "unbalanced": sum(outcome.unbalanced for outcome in outcomes),
        "findings": sum(len(outcome.findings) for outcome in outcomes),
    }
