"""Influence: which examples are behind a behaviour, by the derivative through the recorded run.

A prediction, neither accounting nor truth: what executed runs say of its reliability stands beside
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.calibration import Calibrated, calibrated
from gradledger.query.capability import UNIT_KEYS
from gradledger.query.derivatives import (
    StoredDerivatives,
    stored_behaviours,
    stored_derivatives,
)
from gradledger.query.measures import ValueSql
from gradledger.query.names import allowed
from gradledger.query.ranked_examples import example_columns
from gradledger.query.ranking import ORDERS, Ranked, rank_values
from gradledger.query.records import Records
from gradledger.query.selection import key_of
from gradledger.schema import (
    Intervention,
    Remove,
    Renormalise,
    Substitute,
    changed_weights,
    parts_of,
)

_SIGN: Final = (
    "influence: first-order effect of the weights on the behaviour; removing changes it by minus "
    "that, as far as the derivative holds"
)
_EXACT: Final = (
    "prediction: the exact derivative through the recorded run, optimizer state and clipping "
    "included; only a replay shows what a removal does"
)

_CANDIDATES: Final = ": candidates, not reliable"

_RELATION: Final = "gradledger_derivatives"
_SQL: Final = ValueSql(
    with_sql="",
    source=f"{_RELATION} v",
    where="true",
    plain="v.value",
    careful="coalesce(CASE WHEN isfinite(v.value) THEN v.value END, 0)",
)


def influence(
    records: Records,
    found: StoredDerivatives,
    *,
    by: str = "example",
    top: int = 20,
    order: str = "size",
) -> Answer:
    """Rank what is behind a behaviour.

    Args:
        records: The run.
        found: Derivatives of the behaviour.
        by: ``example``, ``class``, ``rule``, ``profile``, ``policy``, any metadata column, or
            ``block`` or ``group`` for parts of the model.
        top: Rows at most.
        order: ``size``, ``signed``, ``positive`` or ``negative``.

    Raises:
        QueryError: Q105 column, Q110 argument.
    """
    allowed("order", order, tuple(ORDERS))
    if by in UNIT_KEYS:
        ranking = _units_table(records, found, by)
    else:
        key = key_of(records, by)
        records.tables[_RELATION] = _arrow(found)
        try:
            ranked = rank_values(records, _SQL, key, max(1, int(top)), order)
        finally:
            del records.tables[_RELATION]
        extra = example_columns(records, ranked) if by == "example" else {}
        ranking = _ranking_table(by, ranked, order, extra)
    name, since = found.record["behaviour"], int(found.record.get("since", 0))
    tables = (ranking,) if by == "block" else (ranking, _units_table(records, found, "block"))
    return Answer(
        question="influence",
        title=f"Influence on {name}, by {by}"
        + (f", of visits after step {since}" * bool(since))
        + _CANDIDATES * (not found.belief["reliable"]),
        kind="prediction",
        measure="derivative",
        facts=_facts(found),
        tables=tables,
        notes=(_EXACT, _SIGN, *_window(since), *_doubts(found)),
    )


def with_executed(answer: Answer, by: str, execute: Callable[[Any], float | None]) -> Answer:
    """Return an answer with removals executed: those ranked first, as many as ``execute`` does.

    Args:
        answer: What ``influence`` returned.
        by: What it ranks by.
        execute: Returns the executed change when the examples of a key are removed; ``None`` where
            there is no time left.
    """
    rows = []
    for row in answer.rows:
        change = execute(row[by])
        if change is None:
            break
        rows.append((row[by], row["removed"], change))
    columns = (
        Column(by, by, "integer" if by == "example" else "text"),
        Column("predicted", "predicted", "share"),
        Column("executed", "executed", "share"),
    )
    title = f"Truth: removals of those ranked first, executed: {len(rows)} of {len(answer.rows)}"
    table = Table("executed", title, columns, tuple(rows))
    return replace(
        answer,
        facts={**answer.facts, "removals executed in this time": len(rows)},
        tables=(*answer.tables[:1], table, *answer.tables[1:]),
    )


def predicted_changes(records: Records, intervention: Intervention) -> dict[str, float]:
    """Return first-order changes of the behaviours of which derivatives are stored.

    Args:
        records: The run.
        intervention: What is done, to which examples.

    Returns:
        Behaviour -> change; none where content changes, or weights by tokens, which derivatives by
        weights do not tell.
    """
    parts = parts_of(intervention)
    if any(isinstance(part, Substitute) for part in parts) or any(
        isinstance(part, Renormalise) and part.by == "tokens" for part in parts
    ):
        return {}
    if records.end is None:
        return {}
    found = {}
    for name in stored_behaviours(records):
        stored = stored_derivatives(records, name)
        if stored is not None:
            found[name] = predicted_change(records, stored, intervention)
    return found


def calibrated_changes(
    records: Records, intervention: Intervention, changes: Mapping[str, float]
) -> dict[str, Calibrated]:
    """Return predictions of a removal, scaled and bounded by the trial removals of each behaviour.

    Args:
        records: The run.
        intervention: What is done; nothing but removals over the whole run is calibrated.
        changes: First-order predictions by behaviour.
    """
    parts = parts_of(intervention)
    if any(type(part) is not Remove or part.steps is not None for part in parts):
        return {}
    found = {}
    for name, change in changes.items():
        stored = stored_derivatives(records, name)
        belief = stored.belief if stored else {}
        trials = [(float(p), float(e)) for p, e in belief.get("trials") or []]
        size, num = int(belief.get("trial_size") or 0), len(intervention.examples)
        result = calibrated(trials, size, change, num)
        if result is not None:
            found[name] = result
    return found


def predicted_change(
    records: Records, found: StoredDerivatives, intervention: Intervention
) -> float:
    """Return the first-order change of a behaviour: weight by weight, derivative times change."""
    place = {block: index for index, block in enumerate(records.begin.blocks)}
    groups = [group for group in records.begin.groups if group.role == "parameters"]
    blocks = np.asarray([place[group.block] for group in groups])
    profile_of = dict(records.ask("SELECT decision, profile FROM decisions"))
    full, wanted = [1.0] * len(place), frozenset(intervention.examples)
    visits = found.visits
    together = np.stack([visits["step"], visits["micro_batch"]], 1)
    bounds = np.flatnonzero(np.any(np.diff(together, axis=0), axis=1)) + 1
    total = 0.0
    for rows in np.split(np.arange(len(together)), bounds):
        examples = visits["example"][rows].tolist()
        if not wanted.intersection(examples):
            continue
        old = [
            records.profiles.get(str(profile_of.get(decision)), full)
            for decision in visits["decision"][rows].tolist()
        ]
        step = int(visits["step"][rows[0]])
        new = changed_weights(intervention, step, examples, old, [1.0] * len(rows))
        change = np.asarray(new) - np.asarray(old)
        total += float((found.by_group[rows].astype(np.float64) * change[:, blocks]).sum())
    return total


def _arrow(found: StoredDerivatives) -> pa.Table:
    columns: dict[str, NDArray[Any]] = {**found.visits, "value": found.by_visit}
    return pa.table({name: pa.array(value) for name, value in columns.items()})


def _ranking_table(
    by: str, ranked: Ranked, order: str, extra: Mapping[str, Sequence[Any]]
) -> Table:
    rows = tuple(
        (place + 1, row[0], row[1], -row[1], *row[2:6], *(v[place] for v in extra.values()))
        for place, row in enumerate(ranked.rows)
    )
    columns = (
        Column("rank", "#", "integer"),
        Column(by, by, "integer" if by == "example" else "text"),
        Column("influence", "influence", "share"),
        Column("removed", "if removed", "share"),
        Column("visits", "visits", "integer"),
        Column("examples", "examples", "integer", in_text=by != "example"),
        Column("first_step", "first", "integer"),
        Column("last_step", "last", "integer"),
        *(Column(name, name, in_text=False) for name in extra),
    )
    ordered = {"size": "by size", "signed": "by signed value"}.get(order, f"{order} only")
    title = f"Top {len(rows)} of {ranked.num_keys} by {by}, {ordered}"
    return Table("ranking", title, columns, rows)


def _units_table(records: Records, found: StoredDerivatives, by: str) -> Table:
    sums = found.through.astype(np.float64).sum(0)
    units: dict[str, float] = {}
    for column, group in enumerate(g for g in records.begin.groups if g.role == "parameters"):
        name = group.block if by == "block" else group.name
        units[name] = units.get(name, 0.0) + float(sums[column])
    whole = math.fsum(units.values())
    rows = [(name, value, value / whole if whole else None) for name, value in units.items()]
    columns = (
        Column(by, by),
        Column("influence", "influence", "share"),
        Column("share", "share of the sum", "share"),
    )
    title = "Through which parts of the model, all visits together"
    return Table("units" if by == "block" else "ranking", title, columns, tuple(rows))


def _facts(found: StoredDerivatives) -> dict[str, Any]:
    belief = found.belief
    facts: dict[str, Any] = {
        "value": f"{found.record['value']:.6g}",
        "expected agreement with executed removals": f"{belief['expected']:.2f}: "
        + belief["reason"],
        "reliable": bool(belief["reliable"]),
        "error of a change of weights by 0.1": f"{belief['spot_error']:.2g} of its size",
        "smoothness": f"{belief['smoothness']:.2f}",
        "runs executed to say so": belief["num_executed"],
    }
    if belief.get("slope") is not None:
        facts["executed over predicted change"] = f"{belief['slope']:.2f}"
    return facts


def _window(since: int) -> list[str]:
    """Say what a derivative through a part of the run leaves out."""
    if not since:
        return []
    return [
        (
            f"through the run after step {since} alone: the state there is taken as it was, and "
            "what made it is not asked"
        )
    ]


def _doubts(found: StoredDerivatives) -> list[str]:
    if found.belief["reliable"]:
        return []
    return [
        (
            "NOT RELIABLE: training was not smooth enough here for a derivative to foretell "
            "removals; read the ranking as candidates and execute them: gradledger whatif"
        )
    ]
