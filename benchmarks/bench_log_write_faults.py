"""Every call that changes the disk fails in turn: files are old or new, and the run goes on.

Caveat: a signed run of 4 steps; each open that creates, write, fsync, replace, rename, mkdir,
unlink and ftruncate fails once with ENOSPC (a write after half of its bytes), or is the last of its
process (kill -9). Tests cover a disk that refuses from then on, and a resume.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.bench_log_kills import total
from benchmarks.faulty_run import Faulty, fail, prepare
from benchmarks.figure import Figure
from benchmarks.scratch import scratch

KINDS, NUM_PER_KIND = ("error", "kill"), 2


def measure(sample: int = 1) -> list[Figure]:
    """Count what was torn, lost, doubled, changed or found; over every ``sample``-th call."""
    step = sample * NUM_PER_KIND
    asked = [(kind, sample * first, step) for kind in KINDS for first in range(NUM_PER_KIND)]
    with ProcessPoolExecutor(len(asked), mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(every, *zip(*asked, strict=True)))
    outcomes = [outcome for part in parts for outcome in part.outcomes]
    by_call: dict[str, int] = {}
    for part in parts:
        for name, count in part.calls.items():
            by_call[name] = by_call.get(name, 0) + count
    torn = [item for part in parts for item in part.torn]
    unclear = [item for part in parts for item in part.unclear]
    number = float(sum(by_call.values()))
    called = ", ".join(f"{count} {name}" for name, count in sorted(by_call.items()))
    found = {
        "torn": (len(torn), "; ".join(torn[:3])),
        "unclear": (len(unclear), "; ".join(unclear[:3])),
        **{name: (count, "after the resume") for name, count in total(outcomes).items()},
    }
    return [
        Figure("log.write_faults", number, "count", "higher", 400.0 // sample, caveat=called),
        *(
            Figure(f"log.write_faults_{name}", float(count), "count", "equal", 0.0, caveat=said)
            for name, (count, said) in found.items()
        ),
    ]


def every(kind: str, first: int, step: int) -> Faulty:
    """Let calls fail in turn, from the first one on in steps."""
    found = Faulty()
    with scratch() as folder:
        key, place = prepare(Path(folder)), first
        while fail(Path(folder), place, kind, [key], found):
            place += step
    return found
