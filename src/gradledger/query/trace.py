"""Backward: which examples, or which kinds of examples, moved these parameter groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.intervals import SETTLED
from gradledger.query.lines import in_order, line_words
from gradledger.query.measures import (
    MEASURE_WORDS,
    MEASURES,
    VISIT_LINES,
    Scope,
    choose,
    line_sums,
)
from gradledger.query.names import allowed, match_groups, match_steps
from gradledger.query.ranked_examples import example_columns
from gradledger.query.ranking import ORDERS, Ranked, norms_by_key, rank
from gradledger.query.records import Records
from gradledger.query.selection import Key, key_of
from gradledger.query.standing import standing_notes

_SHARE_HEADERS = {
    "displacement": "displ. share",
    "frozen": "frozen share",
    "energy": "energy share",
    "norm": "share",
}

_NOT_CAUSAL = (
    "accounting: adds up exactly, but is not a causal effect; "
    "only a replay without an example shows that"
)


def trace(
    records: Records,
    group: str | Sequence[str] | None = None,
    *,
    start: int | None = None,
    stop: int | None = None,
    measure: str | None = None,
    by: str = "example",
    top: int = 20,
    order: str = "size",
) -> Answer:
    """Rank what moved the parameter groups that ``group`` names.

    Args:
        records: The run.
        group: Names, prefixes or globs of groups or blocks; all parameters by default.
        start: First step, included.
        stop: Last step, included.
        measure: ``displacement``, ``energy`` or ``norm``; by default displacement where it was
            settled for these steps, else energy.
        by: ``example``, ``class``, ``rule``, ``profile``, ``policy``, ``verdict`` or any metadata
            column, such as ``source`` or ``license``.
        top: Rows at most.
        order: ``size`` (absolute value), ``signed``, ``positive`` or ``negative``.

    Returns:
        Tables ``ranking`` and ``lines``; shares are fractions of the denominator, all lines add
        up to 1 under energy and displacement.

    Raises:
        QueryError: Q104 group, Q105 column, Q106 steps, Q107 measure, Q110 argument.
    """
    if measure is not None:
        allowed("measure", measure, MEASURES)
    allowed("order", order, tuple(ORDERS))
    key = key_of(records, by)
    matched, span = match_groups(records, group), match_steps(records, start, stop)
    scope, chosen = choose(records, matched, span, measure)
    ranked = rank(scope, key, max(1, int(top)), order)
    denominator, lines = line_sums(scope)
    if scope.measure == "norm":
        denominator = ranked.whole
    norms = norms_by_key(scope, key, [row[0] for row in ranked.rows])
    tables = [_ranking(scope, key, ranked, denominator, norms, order)]
    if scope.measure != "norm":
        tables.append(_lines(scope, ranked, denominator, lines))
    return Answer(
        question="trace",
        title=f"Trace: what moved {matched} in {span}, by {by}",
        kind="accounting",
        measure=scope.measure,
        facts=_facts(scope, denominator, tables[0]),
        tables=tuple(tables),
        notes=tuple(_notes(scope, key, ranked, denominator, order, chosen)),
    )


def _ranking(
    scope: Scope,
    key: Key,
    ranked: Ranked,
    denominator: float,
    norms: dict[Any, float],
    order: str,
) -> Table:
    is_example = key.name == "example"
    extra = example_columns(scope.records, ranked) if is_example else {}
    is_norm = scope.measure == "norm"
    columns = [
        Column("rank", "#", "integer", in_text=not is_example),
        Column(key.name, key.name, "integer" if is_example else "text"),
        Column("value", "norm sum", "number", in_text=is_norm),
        Column("share", _SHARE_HEADERS[scope.measure], "share"),
        Column("visits", "visits", "integer"),
        Column("examples", "examples", "integer", in_text=not is_example),
        Column("gradient_norm", "|grad|", "number"),
        Column("first_step", "first", "integer"),
        Column("last_step", "last", "integer"),
        # What is the same in every row is told once, among the facts.
        *(Column(name, name, in_text=_is_telling(name, values)) for name, values in extra.items()),
    ]
    rows = []
    for place, row in enumerate(ranked.rows):
        found, value, visits, examples, first, last, _ = row
        figures = (
            value,
            value / denominator if denominator else None,
            visits,
            examples,
            norms.get(found),
            first,
            last,
        )
        rows.append((place + 1, found, *figures, *(values[place] for values in extra.values())))
    ordered = {"size": "by size", "signed": "by signed value"}.get(order, f"{order} only")
    title = f"Top {len(rows)} of {ranked.num_keys} by {key.name}, {ordered}"
    return Table("ranking", title, tuple(columns), tuple(rows))


def _is_telling(name: str, values: Sequence[Any]) -> bool:
    """Whether a column of the examples earns its place on a narrow page."""
    is_same = len(values) > 1 and len(set(values)) == 1
    return not is_same and name != "profile"


def _lines(scope: Scope, ranked: Ranked, denominator: float, lines: dict[str, float]) -> Table:
    shown = sum(row[1] for row in ranked.rows)
    booked = sum(dot for line, dot in lines.items() if line in VISIT_LINES)
    entries = [
        ("visits listed", shown, "the rows above"),
        (
            "other visits",
            ranked.whole - shown,
            f"{ranked.num_keys - len(ranked.rows)} further keys",
        ),
    ]
    unsplit = booked - ranked.whole
    if abs(unsplit) > 1e-5 * abs(denominator):
        entries.append(("visits not split", unsplit, "contributions booked in total only"))
    else:
        unsplit = 0.0
    others = {line: dot for line, dot in lines.items() if line not in VISIT_LINES}
    entries += [(line, others[line], line_words(line)) for line in in_order(others)]
    entries.append(("total", ranked.whole + unsplit + sum(others.values()), "all of the change"))
    rows = tuple(
        (line, dot / denominator if denominator else None, what) for line, dot, what in entries
    )
    columns = (
        Column("line", "line"),
        Column("share", _SHARE_HEADERS[scope.measure], "share"),
        Column("what", "what it is", wraps=True),
    )
    return Table("lines", "Everything that moved these parameters", columns, rows)


def _facts(scope: Scope, denominator: float, ranking: Table) -> dict[str, Any]:
    facts: dict[str, Any] = {"measure": MEASURE_WORDS[scope.measure]}
    if scope.intervals:
        facts["intervals"] = [f"{item.start + 1} to {item.stop}" for item in scope.intervals]
    if scope.measure != "norm":
        name = "|D|" if scope.measure in SETTLED else "root of sum |delta|^2"
        facts[name] = math.sqrt(denominator)
    same = (
        {}
        if len(ranking.rows) == 1
        else {
            column.header: ranking.rows[0][place]
            for place, column in enumerate(ranking.columns)
            if column.kind == "text" and len({row[place] for row in ranking.rows}) == 1
        }
    )
    if same:
        facts["same in all rows"] = same
    return facts


def _notes(
    scope: Scope, key: Key, ranked: Ranked, denominator: float, order: str, chosen: str
) -> list[str]:
    notes = [_NOT_CAUSAL]
    notes.append("|grad|: root mean square over visits of the gradient norm in these groups")
    if chosen:
        notes.append(chosen)
    if not denominator:
        notes.append("the parameters did not change here, so shares do not exist")
    if len(scope.matched.groups) > 1 and scope.measure != "norm":
        notes.append("numerators and denominators are summed over the groups before dividing")
    if scope.measure != "norm" and order in ("size", "signed"):
        notes.append("a negative share moved against the change: the example was outvoted")
    if len(scope.intervals) > 1:
        notes.append("numerators and denominators are summed over the intervals")
    if key.name == "rule":
        notes.append("credit of a decision is split equally over the rules it rests on")
    if ranked.num_partial:
        notes.append(f"{ranked.num_partial} visits lack a finite value in some group: counted as 0")
    return [*notes, *standing_notes(scope.records, scope.matched, scope.span)]
