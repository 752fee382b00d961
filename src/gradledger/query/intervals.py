"""Intervals of settling passes: which are known, and which tile a span of steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gradledger.query.names import Span
from gradledger.query.records import Records

#: Measures of whole intervals, each with tables ``..._visits`` and ``..._lines`` of its own.
SETTLED: Final[tuple[str, ...]] = ("displacement", "frozen")


@dataclass(frozen=True)
class Interval:
    """Interval of a settling pass: the change from after ``start`` to after ``stop``."""

    number: int
    start: int
    stop: int


def tiling(records: Records, span: Span, measure: str = "displacement") -> tuple[Interval, ...]:
    """Return the settled interval that is exactly ``span``, else those that tile it, else ().

    Args:
        records: The run.
        span: Steps.
        measure: One of ``SETTLED``.
    """
    if not (records.has(f"{measure}_lines") and records.has(f"{measure}_visits")):
        return ()
    known = all_intervals(records, measure)
    for item in known:
        if item.start + 1 == span.start and item.stop == span.stop:
            return (item,)
    chain: list[Interval] = []
    place = span.start - 1
    while place < span.stop:
        steps = [item for item in known if item.start == place and item.stop <= span.stop]
        if not steps:
            return ()
        chain.append(max(steps, key=lambda item: (item.stop, -item.number)))
        place = chain[-1].stop
    return tuple(chain)


def all_intervals(records: Records, measure: str = "displacement") -> list[Interval]:
    """Return every interval that is settled under a measure, by number."""
    rows = records.ask(
        f"SELECT DISTINCT interval, start_step, stop_step FROM {measure}_lines ORDER BY 1"
    )
    return [Interval(int(number), int(start), int(stop)) for number, start, stop in rows]
