"""One measured figure: a key that never changes its meaning, a value, and the bar it is held to."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

BETTER = ("lower", "higher", "equal")
_KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")


@dataclass(frozen=True)
class Figure:
    """A measured value with its bar.

    Args:
        key: Stable dotted name; its first word is the group, as in ``books.residual_float32``.
        value: What was measured, in ``unit``.
        unit: ``seconds``, ``ratio``, ``bytes``, ``count``, ...
        better: ``lower``, ``higher`` or ``equal``: on which side of the bar is good.
        bar: What must be reached; None where the figure only informs.
        goal: What would be excellent; None where nothing was set.
        spread: Largest minus smallest value over the repeats, in ``unit``; None for a single one.
        caveat: What limits the figure, in one sentence.

    Raises:
        ValueError: The key or ``better`` is not of the forms above.
    """

    key: str
    value: float
    unit: str
    better: str = "lower"
    bar: float | None = None
    goal: float | None = None
    spread: float | None = None
    caveat: str = ""

    def __post_init__(self) -> None:
        """Refuse keys that could not be kept stable."""
        if not _KEY.fullmatch(self.key):
            message = f"key {self.key!r} is not dotted lower case, such as 'books.residual_float32'"
            raise ValueError(message)
        if self.better not in BETTER:
            message = f"better is {self.better!r}; it must be one of {', '.join(BETTER)}"
            raise ValueError(message)

    @property
    def ok(self) -> bool | None:
        """Whether the bar is reached; None without a bar. NaN never reaches one."""
        if self.bar is None:
            return None
        if not math.isfinite(self.value):
            return False
        if self.better == "equal":
            return self.value == self.bar
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar


class NotMeasurableError(Exception):
    """This machine lacks what the benchmark needs (a GPU, a peer); earlier rows are kept."""


def timed(action: Callable[[], object], *, repeats: int = 5, warmups: int = 1) -> list[float]:
    """Time an action several times.

    Returns:
        Wall seconds of each repeat, in the order in which they were taken.
    """
    for _ in range(warmups):
        action()
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        action()
        seconds.append(perf_counter() - start)
    return seconds


def middle(values: Sequence[float]) -> tuple[float, float]:
    """Return median and spread (largest minus smallest), the two numbers that a figure takes."""
    return median(values), max(values) - min(values)
