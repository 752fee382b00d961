"""Tables of nats: ranking, lines that add up to the measured change, blocks, and the course."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from gradledger.query.answer import Column, Table
from gradledger.query.lines import in_order, line_words
from gradledger.query.measures import VISIT_LINES
from gradledger.query.names import Matched
from gradledger.query.probes import Course
from gradledger.query.ranked_examples import example_columns
from gradledger.query.ranking import ORDERS, Ranked
from gradledger.query.records import Records

#: Longer courses are left to Arrow and JSON.
_FEW_INTERVALS: Final = 12

#: Nats by group (None: buffers) and line.
Nats = Mapping[tuple[int | None, str], float]


def booked(matched: Matched, nats: Nats) -> float:
    """Return the nats that are booked to visits in these groups."""
    return math.fsum(
        value
        for (group, line), value in nats.items()
        if group in matched.numbers and line in VISIT_LINES
    )


def percent(part: float, whole: float) -> float | None:
    """Return a part in percent of the size of the whole; None where there is no whole."""
    return 100.0 * abs(part) / abs(whole) if whole and math.isfinite(part / whole) else None


def ranking_table(course: Course, by: str, ranked: Ranked, order: str) -> Table:
    """Return the ranked keys with their nats."""
    measured = course.total("measured")
    extra = example_columns(course.records, ranked) if by == "example" else {}
    rows = tuple(
        (
            place + 1,
            row[0],
            row[1],
            row[1] / measured if measured else None,
            *row[2:6],
            *(values[place] for values in extra.values()),
        )
        for place, row in enumerate(ranked.rows)
    )
    columns = (
        Column("rank", "#", "integer"),
        Column(by, by, "integer" if by == "example" else "text"),
        Column("nats", "nats", "share"),
        Column("share", "share of change", "share"),
        Column("visits", "visits", "integer"),
        Column("examples", "examples", "integer", in_text=by != "example"),
        Column("first_step", "first", "integer"),
        Column("last_step", "last", "integer"),
        *(Column(name, name, in_text=False) for name in extra),
    )
    ordered = {"size": "by size", "signed": "by signed value"}.get(order, f"{order} only")
    title = f"Top {len(rows)} of {ranked.num_keys} by {by}, {ordered}"
    return Table("ranking", title, columns, rows)


def units_table(
    records: Records,
    matched: Matched,
    nats: Nats,
    course: Course,
    by: str,
    *,
    top: int | None,
    order: str,
) -> Table:
    """Return one row per block or group: visits, other lines and both, in nats."""
    units: dict[str, list[int | None]] = {}
    for item in sorted(matched.groups, key=lambda item: (item.block_index, item.group)):
        units.setdefault(item.block if by == "block" else item.name, []).append(item.group)
    if any(group is None for group, _ in nats) and len(matched.groups) == num_parameter_groups(
        records
    ):
        units["(buffers)"] = [None]
    measured = course.total("measured")
    rows = []
    for name, members in units.items():
        own = [(line, value) for (group, line), value in nats.items() if group in members]
        visits = math.fsum(value for line, value in own if line in VISIT_LINES)
        total = math.fsum(value for _, value in own)
        share = total / measured if measured else None
        rows.append((name, total, share, visits, total - visits))
    rows = [row for row in rows if _passes(row[1], order)]
    if order in ORDERS:
        sizes = {"size": lambda v: -abs(v), "negative": lambda v: v}
        rows.sort(key=lambda row: (sizes.get(order, lambda v: -v)(row[1]), row[0]))
    columns = (
        Column(by, by),
        Column("nats", "nats", "share"),
        Column("share", "share of change", "share"),
        Column("visits", "visits", "share"),
        Column("lines", "other lines", "share"),
    )
    name = "ranking" if order in ORDERS else "blocks"
    title = f"Where it moved, by {by}: all lines, in nats"
    return Table(name, title, columns, tuple(rows[:top]))


def _passes(value: float, order: str) -> bool:
    return {"positive": value > 0, "negative": value < 0}.get(order, True)


def num_parameter_groups(records: Records) -> int:
    """Return how many groups of parameters a run has."""
    return sum(group.role == "parameters" for group in records.begin.groups)


def lines_table(
    course: Course,
    matched: Matched,
    nats: Nats,
    ranked: Ranked | None,
) -> Table:
    """Return every line in nats; with curvature and other groups they add up to the change."""
    measured = course.total("measured")
    visits = booked(matched, nats)
    entries: list[tuple[str, float, str]] = []
    if ranked is None:
        entries.append(("visits", visits, line_words("visits")))
    else:
        shown = math.fsum(row[1] for row in ranked.rows)
        more = f"{ranked.num_keys - len(ranked.rows)} further keys"
        entries += [
            ("visits listed", shown, "the rows above"),
            ("other visits", visits - shown, more),
        ]
    inside = {group.group for group in matched.groups}
    others: dict[str, float] = {}
    elsewhere = 0.0
    for (group, line), value in nats.items():
        if group is not None and group not in inside:
            elsewhere += value
        elif line not in VISIT_LINES:
            others[line] = others.get(line, 0.0) + value
    entries += [(line, others[line], line_words(line)) for line in in_order(others)]
    if len(inside) < num_parameter_groups(course.records):
        entries.append(("other groups", elsewhere, "all lines of the parameter groups left out"))
    entries.append(
        ("curvature", course.total("residual"), "measured less booked: bends between probed steps")
    )
    entries.append(("total", measured, "the measured change"))
    columns = (
        Column("line", "line"),
        Column("nats", "nats", "share"),
        Column("share", "share of change", "share"),
        Column("what", "what it is"),
    )
    rows = tuple(
        (line, value, value / measured if measured else None, what) for line, value, what in entries
    )
    return Table("lines", "Everything that moved it", columns, rows)


def course_table(course: Course) -> Table:
    """Return one row per interval."""
    columns = (
        Column("start_step", "after", "integer"),
        Column("stop_step", "to", "integer"),
        Column("before", "before", "number"),
        Column("after", "after", "number"),
        Column("measured", "change", "share"),
        Column("explained", "booked", "share"),
        Column("residual", "curvature", "share"),
    )
    rows = tuple(
        (
            item.start,
            item.stop,
            item.before,
            item.after,
            item.measured,
            item.explained,
            item.residual,
        )
        for item in course.intervals
    )
    return Table("course", "Course of the probe", columns, rows, len(rows) <= _FEW_INTERVALS)
