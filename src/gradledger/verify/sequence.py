"""Dense sequences and the chain of fingerprints: nothing lacks, nothing stands twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from gradledger.verify.finding import Finding
from gradledger.verify.recorded import Recorded


def check_sequence(found: Recorded) -> Iterator[Finding]:
    """Check numbers of steps, visits and examples, and that no update went unlogged."""
    if found.scope.step is None and found.scope.example is None:
        yield from _steps(found)
        yield from _totals(found)
    if found.scope.example is None:
        yield from _visits(found)
    yield from _examples(found)


def _steps(found: Recorded) -> Iterator[Finding]:
    columns = found.steps.to_pydict()
    numbers = columns["step"]
    seen = Counter(numbers)
    last = max(numbers, default=0)
    for number in range(1, last + 1):
        if seen[number] != 1:
            yield Finding("V401", f"steps, step {number}", f"{seen[number]} rows", "one row")
    if numbers != sorted(numbers):
        place = next(n for n, (a, b) in enumerate(pairwise(numbers)) if a > b)
        yield Finding(
            "V401", f"steps, row {place + 1}", f"step {numbers[place + 1]}", "ascending steps"
        )
    order = sorted(range(len(numbers)), key=lambda row: numbers[row])
    for row, following in pairwise(order):
        after, before = columns["fingerprint_after"][row], columns["fingerprint_before"][following]
        if numbers[following] == numbers[row] + 1 and after != before:
            yield Finding(
                "V402",
                f"steps, step {numbers[following]}",
                f"fingerprint {before} before it",
                f"{after}, as after step {numbers[row]}",
            )


def _visits(found: Recorded) -> Iterator[Finding]:
    rows = [found.visits[name].to_numpy() for name in ("step", "micro_batch", "position")]
    with np.errstate(invalid="ignore"):  # a missing number, in a damaged file, is out of order
        keys = np.stack([column.astype(np.int64) for column in rows], axis=1)
    keys = keys[np.lexsort(keys.T[::-1])]
    counts = Counter(keys[:, 0].tolist())
    new_step = np.diff(keys[:, 0], prepend=-1) != 0
    new_micro = new_step | (np.diff(keys[:, 1], prepend=-1) != 0)
    gap = np.where(new_micro, keys[:, 2] != 0, np.diff(keys[:, 2], prepend=-1) != 1)
    gap |= np.where(new_step, keys[:, 1] != 0, np.abs(np.diff(keys[:, 1], prepend=0)) > 1)
    for row in np.flatnonzero(gap).tolist():
        step, micro, position = keys[row].tolist()
        yield Finding(
            "V403",
            f"visits, step {step}",
            f"micro-batch {micro}, position {position} out of order",
            "micro-batches and positions from 0, each once",
        )
    columns = found.steps.to_pydict()
    for step, expected in zip(columns["step"], columns["visits"], strict=True):
        if counts.pop(step, 0) != expected:
            observed = f"{int((keys[:, 0] == step).sum())} visits"
            yield Finding("V403", f"visits, step {step}", observed, f"{expected}, as steps says")
    for step, count in sorted(counts.items()):
        yield Finding("V403", f"visits, step {step}", f"{count} visits", "a row in steps")


def _examples(found: Recorded) -> Iterator[Finding]:
    numbers = found.examples["example"].to_numpy()
    wrong = np.flatnonzero(numbers != np.arange(len(numbers)))
    if len(wrong):
        row = int(wrong[0])
        yield Finding("V603", f"decisions/examples, row {row}", f"example {numbers[row]}", str(row))
    listed = sorted(found.decisions)
    if listed != list(range(len(listed))):
        odd = next((n for n, number in enumerate(listed) if n != number), len(listed))
        yield Finding("V603", "decisions/distinct", f"no decision {odd}", "dense numbers from 0")
    known = set(listed)
    for number in sorted(set(found.examples["decision"].to_pylist()) - known):
        yield Finding("V603", "decisions/examples", f"decision {number}", "one that is recorded")


def _totals(found: Recorded) -> Iterator[Finding]:
    if found.end is None:
        yield Finding("V904", "end.json", "no end record", "a run that was closed")
        return
    admitted = found.admitted[found.examples["decision"].to_numpy()]
    pairs = {
        "num_steps": (found.end["num_steps"], found.steps.num_rows),
        "num_visits": (found.end["num_visits"], found.visits.num_rows),
        "examples": (found.end["totals"].get("examples"), found.examples.num_rows),
        "admitted": (found.end["totals"].get("admitted"), int(admitted.sum())),
    }
    for name, (said, counted) in pairs.items():
        if said != counted:
            yield Finding("V404", "end.json", f"{name} {said}", f"{counted}, as the tables hold")
