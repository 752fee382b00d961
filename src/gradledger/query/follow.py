"""Forward: what an example, a source, a class or a rule changed: where, when, how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.intervals import tiling
from gradledger.query.measures import MEASURE_WORDS, Scope
from gradledger.query.names import Span, allowed, match_groups, match_steps
from gradledger.query.profiles import profiles_of, weights_in_words
from gradledger.query.records import Records
from gradledger.query.selection import (
    brought_together,
    conditions,
    matching_examples,
    words,
)
from gradledger.query.standing import standing_notes
from gradledger.query.touch import TOTAL, Touch, touches
from gradledger.schema import GroupRecord

UNITS: Final[tuple[str, ...]] = ("block", "group")

_NOT_CAUSAL = (
    "accounting: adds up exactly, but is not a causal effect; "
    "only a replay without these examples shows that"
)

_CHANNELS = (
    "weight: depth weight of the profiles in force; 0 stops the direct gradient only, "
    "other channels remain"
)

#: Pieces of time in the table of when.
_PIECES = 10


def follow(
    records: Records,
    where: Mapping[str, Any],
    *,
    group: str | Sequence[str] | None = None,
    start: int | None = None,
    stop: int | None = None,
    by: str = "block",
) -> Answer:
    """Follow the visits that match ``where`` into the parameter groups.

    Args:
        records: The run.
        where: Filters that must all hold: ``example``, ``class``, ``rule``, ``profile``,
            ``policy``, ``verdict`` or any metadata column, each with its value.
        group: Only these parameter groups.
        start: First step, included.
        stop: Last step, included.
        by: ``block`` or ``group``.

    Returns:
        Tables ``where`` (blocks or groups), ``when`` (steps) and ``decisions``.

    Raises:
        QueryError: Q104 group, Q105 column, Q106 steps, Q108 nothing matches, Q110 argument.
    """
    allowed("by", by, UNITS)
    if not where:
        raise QueryError(
            "Q110",
            observed="no filter",
            expected="an example or at least one column with its value",
            where="follow",
            hint="name an example, a source, a license, a class or a rule",
        )
    matched, span = match_groups(records, group), match_steps(records, start, stop)
    num_examples = matching_examples(records, where)
    scope = Scope(records, matched, span, "energy", tiling(records, span))
    units: dict[str, list[GroupRecord]] = {}
    for item in sorted(matched.groups, key=lambda item: (item.block_index, item.group)):
        units.setdefault(item.block if by == "block" else item.name, []).append(item)
    members = {name: [item.group for item in items] for name, items in units.items()}
    width = -(-(span.stop - span.start + 1) // _PIECES)
    in_units, in_time = touches(scope, where, members, width)
    return Answer(
        question="follow",
        title=f"Follow: what {words(where)} changed in {span}",
        kind="accounting",
        measure=_measures(scope),
        facts=_facts(scope, where, num_examples),
        tables=(
            _where(scope, where, by, units, in_units),
            _when(span, width, in_time),
            _decisions(records, where, span),
        ),
        notes=tuple(_notes(scope, where)),
    )


def _is_frozen(scope: Scope) -> bool:
    return bool(tiling(scope.records, scope.span, "frozen"))


def _measures(scope: Scope) -> str:
    """Name the measures that are shown."""
    settled = ["displacement"] if scope.intervals else []
    settled += ["frozen"] if _is_frozen(scope) else []
    return " and ".join([", ".join(settled), "energy"] if settled else ["energy"])


def _facts(scope: Scope, where: Mapping[str, Any], num_examples: int) -> dict[str, Any]:
    sql, values = conditions(scope.records, where, "v")
    relation, _ = brought_together(scope.records, "visits", where)
    visits, examples, first, last = scope.records.ask(
        f"SELECT count(*), count(DISTINCT v.example), min(v.step), max(v.step) FROM {relation} v "
        f"WHERE v.step BETWEEN ? AND ? AND {sql}",
        [scope.span.start, scope.span.stop, *values],
    )[0]
    return {
        "examples that match": num_examples,
        "of these visited": int(examples),
        "visits": int(visits),
        "first and last visit": f"steps {first} and {last}" if visits else None,
    }


def _where(
    scope: Scope,
    where: Mapping[str, Any],
    by: str,
    units: Mapping[str, Sequence[GroupRecord]],
    found: Mapping[str, Touch],
) -> Table:
    profiles = profiles_of(scope, where)
    rows = [
        (
            "total" if name == TOTAL else name,
            touch.displacement_share,
            touch.frozen_share,
            touch.energy_share,
            touch.norm_rms,
            touch.visits,
            touch.first,
            touch.last,
            weights_in_words(scope.records, units.get(name, ()), profiles),
        )
        for name, touch in found.items()
    ]
    columns = (
        Column(by, by),
        Column("displacement", "displ. share", "share", in_text=bool(scope.intervals)),
        Column("frozen", "frozen share", "share", in_text=_is_frozen(scope)),
        Column("energy", "energy share", "share"),
        Column("gradient_norm", "|grad| rms", "number"),
        Column("visits", "visits acting", "integer"),
        Column("first_step", "first", "integer"),
        Column("last_step", "last", "integer"),
        Column("weight", "weight"),
    )
    return Table("where", f"Where: by {by}, from input to output", columns, tuple(rows))


def _when(span: Span, width: int, found: Mapping[int, Touch]) -> Table:
    rows = []
    for piece in range(-(-(span.stop - span.start + 1) // width)):
        first = span.start + piece * width
        last = min(first + width - 1, span.stop)
        touch = found.get(piece, Touch())
        label = str(first) if first == last else f"{first} to {last}"
        rows.append((label, first, last, touch.energy_share, touch.norm_rms, touch.visits))
    columns = (
        Column("steps", "steps"),
        Column("first_step", "first", "integer", in_text=False),
        Column("last_step", "last", "integer", in_text=False),
        Column("energy", "energy share", "share"),
        Column("gradient_norm", "|grad| rms", "number"),
        Column("visits", "visits acting", "integer"),
    )
    return Table("when", "When: over all groups above", columns, tuple(rows))


def _decisions(records: Records, where: Mapping[str, Any], span: Span) -> Table:
    sql, values = conditions(records, where, "v")
    relation, _ = brought_together(records, "visits", where)
    rows = records.ask(
        f"""
        SELECT d.decision, d.verdict, d."class", d.profile, d.policy_id || '@' || d.policy_version,
               (SELECT string_agg(rule, ', ' ORDER BY rule) FROM truths t
                WHERE t.decision = d.decision AND t.determining),
               u.examples, u.visits
        FROM decisions d JOIN (
            SELECT decision, max(examples) AS examples, max(visits) AS visits FROM (
                SELECT v.decision, count(DISTINCT v.example) AS examples, count(*) AS visits
                FROM {relation} v WHERE v.step BETWEEN ? AND ? AND {sql} GROUP BY v.decision
                UNION ALL
                SELECT v.decision, count(*) AS examples, 0 AS visits
                FROM examples v WHERE {sql} GROUP BY v.decision
            ) GROUP BY decision
        ) u USING (decision) ORDER BY u.visits DESC, d.decision
        """,
        [span.start, span.stop, *values, *values],
    )
    columns = (
        Column("decision", "decision", "integer"),
        Column("verdict", "verdict"),
        Column("class", "class"),
        Column("profile", "profile"),
        Column("policy", "policy"),
        Column("rules", "rests on rules"),
        Column("examples", "examples", "integer"),
        Column("visits", "visits", "integer"),
    )
    return Table("decisions", "Decisions behind it", columns, tuple(rows))


def _notes(scope: Scope, where: Mapping[str, Any]) -> list[str]:
    notes = [_NOT_CAUSAL, f"energy: {MEASURE_WORDS['energy']}"]
    if scope.intervals:
        notes.append(f"displ.: {MEASURE_WORDS['displacement']}")
    if _is_frozen(scope):
        notes.append(f"frozen: {MEASURE_WORDS['frozen']}")
    notes += [
        "visits acting: visits with a gradient other than zero there; |grad| rms: over these",
        _CHANNELS,
    ]
    if "rule" in where:
        notes.append("credit of a decision is split equally over the rules it rests on")
    return [*notes, *standing_notes(scope.records, scope.matched, scope.span)]
