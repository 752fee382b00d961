"""Probes as the records hold them: values, settled intervals, and the SQL of a visit's nats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query.measures import ValueSql, numbers
from gradledger.query.names import Matched, Span, nearest
from gradledger.query.records import Records
from gradledger.query.relations import literal

#: Interval ends that a message lists.
_NAMED: Final = 12


@dataclass(frozen=True)
class ProbeInterval:
    """One settled interval: from the state after ``start`` to that after ``stop``; nats."""

    number: int
    start: int
    stop: int
    before: float
    after: float
    measured: float
    linear: float
    explained: float
    residual: float


@dataclass(frozen=True)
class Course:
    """A probe over steps of which its intervals are the pieces.

    Attributes:
        records: The run.
        name: The probe.
        span: Steps.
        intervals: Settled intervals that tile the span, in order.
    """

    records: Records
    name: str
    span: Span
    intervals: tuple[ProbeInterval, ...]

    @property
    def before(self) -> float:
        """Value before the first of the steps."""
        return self.intervals[0].before

    @property
    def after(self) -> float:
        """Value after the last of the steps."""
        return self.intervals[-1].after

    def total(self, name: str) -> float:
        """Return the sum of a figure over the intervals."""
        return math.fsum(getattr(item, name) for item in self.intervals)

    def where(self, alias: str) -> str:
        """Return SQL that restricts a table of probes to this course."""
        chosen = numbers(item.number for item in self.intervals)
        return f"{alias}.probe = {literal(self.name)} AND {alias}.interval IN ({chosen})"


def probe_records(records: Records) -> list[dict[str, Any]]:
    """Return what the begin record says of each probe."""
    return [dict(entry) for entry in records.begin.settings.get("probes") or ()]


def course_of(records: Records, name: str, span: Span) -> Course:
    """Return the settled course of a probe over steps.

    Raises:
        QueryError: Q121 no such probe; Q107 not settled, or the steps are not whole intervals.
    """
    known = [str(entry["name"]) for entry in probe_records(records)]
    if name not in known:
        raise QueryError(
            "Q121",
            observed=repr(name),
            expected=" | ".join(known) or "a run recorded with probes",
            where=str(records.path),
            hint=nearest(name, known) or ("" if known else "record with probes=[gl.Probe(...)]"),
        )
    found = settled_intervals(records, name)
    if not found:
        raise QueryError(
            "Q107",
            observed=f"probe {name!r} without tables of visits and lines",
            expected="a run whose probes were settled",
            where=str(records.path),
            hint="settle it: gradledger.replay.settle(run_dir, build, train, probes=probes)",
        )
    kept = tuple(item for item in found if item.start + 1 >= span.start and item.stop <= span.stop)
    whole = kept and kept[0].start + 1 == span.start and kept[-1].stop == span.stop
    if not whole:
        ends = [str(item.stop) for item in found]
        shown = ", ".join([*ends[:_NAMED], *(["..."] if len(ends) > _NAMED else [])])
        raise QueryError(
            "Q107",
            observed=str(span),
            expected=f"steps that begin after 0 and end at one of {shown}, or begin after one",
            where=f"{records.path}, probe {name!r}",
            hint="ask for whole intervals between probed steps",
        )
    return Course(records, name, span, kept)


def settled_intervals(records: Records, name: str) -> list[ProbeInterval]:
    """Return the settled intervals of a probe, in order; none where it was not settled."""
    rows = records.ask(
        'SELECT interval, start_step, stop_step, "before", "after", measured, linear, explained, '
        "residual FROM probe_intervals WHERE probe = ? ORDER BY start_step",
        [name],
    )
    return [
        ProbeInterval(int(row[0]), int(row[1]), int(row[2]), *(_number(value) for value in row[3:]))
        for row in rows
    ]


def measured_values(records: Records, name: str) -> list[tuple[int, float]]:
    """Return the measured values of a probe by step."""
    rows = records.ask("SELECT step, value FROM probe_values WHERE probe = ? ORDER BY step", [name])
    return [(int(step), _number(value)) for step, value in rows]


def nats_sql(course: Course, matched: Matched) -> ValueSql:
    """Return the SQL of the nats of one visit in these groups."""
    present = course.records.columns["probe_visits"]
    terms = [f"v.nats_{g}" for g in matched.numbers if f"nats_{g}" in present]
    careful = [f"coalesce(CASE WHEN isfinite({term}) THEN {term} END, 0)" for term in terms]
    return ValueSql(
        with_sql="",
        source="probe_visits v",
        where=course.where("v"),
        plain=" + ".join(terms) or "0.0",
        careful=" + ".join(careful) or "0.0",
    )


def line_nats(course: Course) -> dict[tuple[int | None, str], float]:
    """Return nats by group (None: buffers) and line."""
    rows = course.records.ask(
        'SELECT "group", line, sum(nats) FROM probe_lines l '
        f"WHERE {course.where('l')} GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return {
        (None if group is None else int(group), str(line)): _number(nats)
        for group, line, nats in rows
    }


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
