"""The visits of an example: when it was used, under which decision, with what pull."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.names import match_groups, match_steps
from gradledger.query.records import Records
from gradledger.query.selection import brought_together, conditions, matching_examples, words

_COLUMNS: Final = (
    Column("step", "step", "integer"),
    Column("micro_batch", "micro-batch", "integer"),
    Column("position", "position", "integer"),
    Column("example", "example", "integer"),
    Column("loss", "loss [nats]", "number"),
    Column("tokens", "tokens", "integer"),
    Column("gradient_norm", "|grad|", "number"),
    Column("profile", "profile"),
    Column("decision", "decision", "integer"),
    Column("digest", "digest of what was presented"),
)

#: Visits listed before an answer is cut.
MAX_VISITS: Final = 500


def visits(
    records: Records, where: Mapping[str, Any], start: int | None = None, stop: int | None = None
) -> Answer:
    """Return the visits of the examples that match, in order; at most ``MAX_VISITS``.

    Args:
        records: The run.
        where: Filters that must all hold; see ``follow``. None takes every visit.
        start: First step, included.
        stop: Last step, included.

    Raises:
        QueryError: Q105 column, Q106 steps, Q108 nothing matches, Q111 no steps.
    """
    if where:
        matching_examples(records, where)
    span = match_steps(records, start, stop)
    present = records.columns["visits"]
    groups = [g for g in match_groups(records, None).numbers if f"gnorm_{g}" in present]
    squares = " + ".join(
        f"coalesce(CASE WHEN isfinite(v.gnorm_{g}) THEN v.gnorm_{g}::DOUBLE * v.gnorm_{g} END, 0)"
        for g in groups
    )
    norm = f"sqrt({squares})" if groups else "NULL::DOUBLE"
    sql, values = conditions(records, where, "v")
    sql, values = f"{sql} AND v.step BETWEEN ? AND ?", [*values, span.start, span.stop]
    relation, _ = brought_together(records, "visits", where)
    total = int(records.ask(f"SELECT count(*) FROM {relation} v WHERE {sql}", values)[0][0])
    rows = records.ask(
        f"SELECT v.step, v.micro_batch, v.position, v.example, v.loss, v.tokens, {norm}, "
        "d.profile, v.decision, lower(hex(v.digest)) "
        f"FROM {relation} v "
        f"LEFT JOIN decisions d USING (decision) WHERE {sql} "
        f"ORDER BY v.step, v.micro_batch, v.position LIMIT {MAX_VISITS}",
        values,
    )
    notes = ["|grad|: norm of the gradient of all groups, after the depth profile"]
    if total > len(rows):
        notes.append(f"{total - len(rows)} further visits are not listed")
    return Answer(
        question="visits",
        title=f"Visits of {words(where) or 'all examples'} in {span}",
        kind="accounting",
        facts={"visits": total},
        tables=(Table("visits", f"{len(rows)} visits", _COLUMNS, tuple(map(tuple, rows))),),
        notes=tuple(notes),
    )
