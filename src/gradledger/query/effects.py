"""Forward, in nats: what chosen examples did to each behaviour of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.capability import SIGN_NOTE
from gradledger.query.names import Span, match_groups, match_steps
from gradledger.query.probes import Course, nats_sql, probe_records, settled_intervals
from gradledger.query.records import Records
from gradledger.query.selection import (
    CREDIT,
    brought_together,
    conditions,
    matching_examples,
    words,
)

_COLUMNS: Final = (
    Column("capability", "capability"),
    Column("nats", "booked [nats]", "share"),
    Column("share", "share of change", "share"),
    Column("visits", "visits", "integer"),
    Column("measured", "measured change [nats]", "share"),
)
_NOT_CAUSAL: Final = (
    "accounting: adds up exactly, but is not a causal effect; "
    "only a replay without these examples shows that"
)


def effects(records: Records, where: Mapping[str, Any]) -> Answer:
    """Return what the visits that match ``where`` did to each settled probe.

    Args:
        records: The run.
        where: Filters that must all hold; see ``follow``.

    Raises:
        QueryError: Q105 column, Q108 nothing matches, Q111 no steps.
    """
    count = matching_examples(records, where)
    span = match_steps(records, None, None)
    rows, missing = [], []
    for entry in probe_records(records):
        name = str(entry["name"])
        found = settled_intervals(records, name)
        if not found:
            missing.append(name)
            continue
        course = Course(records, name, Span(found[0].start + 1, found[-1].stop), tuple(found))
        rows.append(_row(course, where))
    notes = [SIGN_NOTE, _NOT_CAUSAL]
    if missing:
        notes.append(f"not settled, so nothing is booked: {', '.join(missing)}")
    if where.get("rule") is not None:
        notes.append("credit of a decision is split equally over the rules it rests on")
    return Answer(
        question="effects",
        title=f"Effects: what {words(where)} did to each behaviour in {span}",
        kind="accounting",
        measure="nats",
        facts={"examples that match": count, "capabilities": len(rows)},
        tables=(Table("effects", "By capability", _COLUMNS, tuple(rows)),),
        notes=tuple(notes),
    )


def _row(course: Course, where: Mapping[str, Any]) -> tuple[Any, ...]:
    records = course.records
    value = nats_sql(course, match_groups(records, None))
    sql, values = conditions(records, where, "v")
    relation, order = brought_together(records, "probe_visits", where)
    join, weight, credited = "", "1.0", []
    if where.get("rule") is not None:
        join = f"JOIN (SELECT decision, credit FROM {CREDIT} WHERE rule = ?) r "
        join += "ON r.decision = v.decision"
        weight, credited = "r.credit", [str(where["rule"])]
    nats, visits = records.ask(
        # Materialised, or the engine would drop an order that sums do not ask for.
        f"WITH v AS MATERIALIZED (SELECT v.*, {weight} AS credit FROM {relation} v {join} "
        f"WHERE {value.where} AND {sql} {order}) "
        f"SELECT sum(({value.careful}) * v.credit), count(*) FROM v",
        [*credited, *values],
    )[0]
    measured = course.total("measured")
    booked = float(nats or 0.0)
    share = booked / measured if measured and math.isfinite(measured) else None
    return (course.name, booked, share, int(visits), measured)
