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

NUM_PROCESSES = 2


def measure(kinds: tuple[str, ...] = ("error", "kill"), step: int = 1) -> list[Figure]:
    """Count what was torn, lost, doubled, changed or found."""
    with ProcessPoolExecutor(NUM_PROCESSES, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(every, kinds, [step] * len(kinds)))
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
        Figure("log.write_faults", number, "count", "higher", 400.0 // step, caveat=called),
        *(
            Figure(f"log.write_faults_{name}", float(count), "count", "equal", 0.0, caveat=said)
            for name, (count, said) in found.items()
        ),
    ]


def every(kind: str, step: int) -> Faulty:
    """Let every call fail in turn; with ``step`` above 1 a sample."""
    found = Faulty()
    with scratch() as folder:
        key, place = prepare(Path(folder)), 0
        while fail(Path(folder), place, kind, [key], found):
            place += step
    return found
