"""The books, added up again: lines make the change, and every group has its row in every step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gradledger.schema import ACCRUAL_LINES, CASH_LINES
from gradledger.verify.finding import Finding
from gradledger.verify.recorded import Recorded

#: Largest difference between the sum of all lines and the change, over the sum of their sizes:
#: the lines' own arithmetic rounds in the parameters' number format.
TOLERANCE: Final = 1e-5
_BAD: Final = frozenset({"unbalanced", "not finite"})


def check_balance(found: Recorded) -> Iterator[Finding]:
    """Check every row of the books."""
    if found.scope.example is not None:
        return
    yield from _rows(found)
    if found.begin["level"] != "decisions":
        for basis, lines in (("cash", CASH_LINES), ("accrual", ACCRUAL_LINES)):
            yield from _sums(found, basis, lines)
    yield from _verdicts(found)


def _sums(found: Recorded, basis: str, lines: tuple[str, ...]) -> Iterator[Finding]:
    dots = np.stack([_numbers(found, f"{line}_dot") for line in lines])
    square = _numbers(found, "delta_norm") ** 2
    total = dots.sum(0)
    size = np.abs(dots).sum(0) + square
    with np.errstate(invalid="ignore"):
        wrong = np.abs(total - square) > TOLERANCE * size
    # A missing or non-finite line is a verdict of its own, not a sum.
    wrong &= np.isfinite(size)
    for row in np.flatnonzero(wrong).tolist():
        yield Finding(
            "V501",
            _place(found, row),
            f"{basis} lines with the sum {total[row]:.9g}",
            f"{square[row]:.9g}, the square of the change, within {TOLERANCE:g}",
        )


def _rows(found: Recorded) -> Iterator[Finding]:
    keys = list(zip(found.books["step"].to_pylist(), found.books["group"].to_pylist(), strict=True))
    seen: set[tuple[int, int]] = set()
    for row, key in enumerate(keys):
        if key in seen:
            yield Finding("V502", _place(found, row), "a second row", "one row")
        seen.add(key)
    groups = [group["group"] for group in found.begin["groups"] if group["role"] == "parameters"]
    steps, skipped = (found.steps[name].to_pylist() for name in ("step", "skipped"))
    for step, was_skipped in zip(steps, skipped, strict=True):
        missing = [group for group in groups if (step, group) not in seen]
        if missing and not was_skipped:
            place = f"books, step {step}"
            yield Finding("V502", place, f"no row of group {missing[0]}", "one for every group")
    known = {group["group"] for group in found.begin["groups"]}
    for group in sorted({group for _, group in seen} - known):
        yield Finding("V502", "books", f"rows of group {group}", "a group that run.json names")
    for step in sorted({step for step, _ in seen} - set(steps)):
        yield Finding("V502", f"books, step {step}", "rows", "a row in steps")


def _verdicts(found: Recorded) -> Iterator[Finding]:
    for row, verdict in enumerate(found.books["verdict"].to_pylist()):
        if verdict in _BAD:
            yield Finding("V503", _place(found, row), str(verdict), "balanced")


def _numbers(found: Recorded, name: str) -> NDArray[np.float64]:
    column = found.books[name]
    return np.asarray(column.to_numpy(), np.float64)


def _place(found: Recorded, row: int) -> str:
    step, group = (found.books[name][row].as_py() for name in ("step", "group"))
    return f"books, step {step}, group {group}"
