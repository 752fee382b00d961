"""Capabilities: what moved a behaviour, in nats that add up to its measured change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.names import Matched, Span, allowed, match_groups, match_steps
from gradledger.query.nats import (
    booked,
    course_table,
    lines_table,
    percent,
    ranking_table,
    units_table,
)
from gradledger.query.probes import (
    Course,
    course_of,
    line_nats,
    measured_values,
    nats_sql,
    probe_records,
    settled_intervals,
)
from gradledger.query.ranking import ORDERS, rank_values
from gradledger.query.records import Records
from gradledger.query.selection import key_of
from gradledger.query.standing import standing_notes

#: Keys that are parts of the model rather than of the data.
UNIT_KEYS: Final[tuple[str, ...]] = ("block", "group")

SIGN_NOTE: Final = (
    "nats are changes of a loss: negative lowered it, that is, improved the behaviour"
)
_NOT_CAUSAL: Final = (
    "accounting: adds up exactly, but is not a causal effect; "
    "only a replay without an example shows that"
)


def capabilities(records: Records) -> Answer:
    """Return every probe of the run with its movement and, where settled, what is booked."""
    rows = [_overview(records, entry) for entry in probe_records(records)]
    columns = (
        Column("name", "capability"),
        Column("before", "before", "number"),
        Column("after", "after", "number"),
        Column("measured", "change", "share"),
        Column("visits", "visits", "share"),
        Column("lines", "lines", "share"),
        Column("residual", "curvature", "share"),
        Column("residual_percent", "curv. %", "number"),
        Column("measurements", "measured", "integer", in_text=False),
        Column("intervals", "intervals", "integer", in_text=False),
        Column("description", "description", in_text=False),
        Column("inputs_digest", "digest of the inputs", in_text=False),
        Column("mode", "mode", in_text=False),
    )
    notes = [SIGN_NOTE, "before, after, change, visits, lines and curvature are in nats"]
    if any(row[9] == 0 for row in rows):
        notes.append("probes without intervals were measured, but not settled by a replay")
    if not rows:
        notes.append("the run was recorded without probes")
    return Answer(
        question="capabilities",
        title="Capabilities: how each behaviour moved",
        kind="accounting",
        measure="nats",
        facts={"probes": len(rows)},
        tables=(Table("capabilities", "Probes", columns, tuple(rows)),),
        notes=tuple(notes),
    )


def capability(
    records: Records,
    name: str,
    *,
    by: str = "example",
    group: str | Sequence[str] | None = None,
    start: int | None = None,
    stop: int | None = None,
    top: int = 20,
    order: str = "size",
) -> Answer:
    """Rank what moved a behaviour.

    Args:
        records: The run.
        name: The probe.
        by: ``example``, ``class``, ``rule``, ``profile``, ``policy``, any metadata column, or
            ``block`` or ``group`` for parts of the model.
        group: Only what acted through these parameter groups; all by default.
        start: First step, included; the step after an end of an interval.
        stop: Last step, included; an end of an interval.
        top: Rows at most.
        order: ``size``, ``signed``, ``positive`` or ``negative``.

    Returns:
        Tables ``ranking``, ``lines`` (adds up to the measured change), ``blocks`` and ``course``
        (one row per interval), in nats.

    Raises:
        QueryError: Q104 group, Q105 column, Q106 steps, Q107 not settled for these steps, Q110
            argument, Q121 no such probe.
    """
    allowed("order", order, tuple(ORDERS))
    key = None if by in UNIT_KEYS else key_of(records, by)
    matched, span = match_groups(records, group), match_steps(records, start, stop)
    course = course_of(records, name, span)
    nats = line_nats(course)
    notes = [SIGN_NOTE, _NOT_CAUSAL]
    if key is None:
        ranking = units_table(records, matched, nats, course, by, top=top, order=order)
        lines = lines_table(course, matched, nats, None)
    else:
        ranked = rank_values(records, nats_sql(course, matched), key, max(1, int(top)), order)
        ranking = ranking_table(course, key.name, ranked, order)
        lines = lines_table(course, matched, nats, ranked)
        if ranked.num_partial:
            notes.append(
                f"{ranked.num_partial} visits lack a finite value in some group: counted as 0"
            )
    if by == "rule":
        notes.append("credit of a decision is split equally over the rules it rests on")
    blocks = units_table(records, matched, nats, course, "block", top=None, order="place")
    tables = (ranking, lines, *([] if by == "block" else [blocks]), course_table(course))
    return Answer(
        question="capability",
        title=f"Capability {name}: what moved it in {span}, by {by}"
        + (f", through {matched}" if group is not None else ""),
        kind="accounting",
        measure="nats",
        facts=_facts(records, course, matched, nats),
        tables=tables,
        notes=(*notes, *_course_notes(course), *standing_notes(records, matched, span)),
    )


def _overview(records: Records, entry: Mapping[str, Any]) -> tuple[Any, ...]:
    name = str(entry["name"])
    values = measured_values(records, name)
    found = settled_intervals(records, name)
    first, last = (values[0][1], values[-1][1]) if values else (None, None)
    change = last - first if first is not None and last is not None else None
    figures: tuple[float | None, ...] = (None, None, None, None)
    if found:
        course = Course(records, name, Span(found[0].start + 1, found[-1].stop), tuple(found))
        visits = booked(match_groups(records, None), line_nats(course))
        residual = course.total("residual")
        lines = course.total("explained") - visits
        figures = (visits, lines, residual, percent(residual, course.total("measured")))
    return (
        name,
        first,
        last,
        change,
        *figures,
        len(values),
        len(found),
        entry.get("description") or None,
        entry.get("inputs_digest"),
        entry.get("mode"),
    )


def _facts(
    records: Records,
    course: Course,
    matched: Matched,
    nats: Mapping[tuple[int | None, str], float],
) -> dict[str, Any]:
    entry = next(item for item in probe_records(records) if item["name"] == course.name)
    measured, residual = course.total("measured"), course.total("residual")
    share = percent(residual, measured)
    facts: dict[str, Any] = {}
    if entry.get("description"):
        facts["behaviour"] = entry["description"]
    return facts | {
        "value before": f"{course.before:.6g} nats",
        "value after": f"{course.after:.6g} nats",
        "change": f"{measured:+.6g} nats",
        "booked to visits": f"{booked(matched, nats):+.6g} nats",
        "curvature residual": f"{residual:+.6g} nats"
        + (f" ({share:.2g} % of the change)" if share is not None else ""),
        "intervals": len(course.intervals),
    }


def _course_notes(course: Course) -> list[str]:
    rounding = abs(course.total("explained") - course.total("linear"))
    method = (
        "each entry is taken with the mean of the probe's gradients at both ends of its interval; "
        "what curvature leaves is shown"
    )
    notes = [
        method,
        f"rounding of the books within the curvature line: {rounding:.1e} nats",
    ]
    if not course.total("measured"):
        notes.append("the probe did not move here, so shares do not exist")
    return notes
