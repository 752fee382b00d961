"""First use: when a selection first acted, and the last stored model state before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradledger.errors import QueryError
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.measures import Scope, columns_of
from gradledger.query.names import match_groups, match_steps
from gradledger.query.profiles import profiles_of, weights_in_words
from gradledger.query.records import Records
from gradledger.query.selection import (
    brought_together,
    conditions,
    matching_examples,
    words,
)
from gradledger.query.stored_states import read_state_record, state_folder, stored_steps
from gradledger.query.touch import TOTAL, first_steps
from gradledger.schema import GroupRecord


def first_use(records: Records, where: Mapping[str, Any]) -> Answer:
    """Return the first step in which matching examples acted, and the last clean model state.

    Clean means: stored after a step before the first visit, so that no matching example had been
    presented by then, whatever its weight.

    Args:
        records: The run.
        where: Filters that must all hold, as in ``follow``.

    Returns:
        Table ``units``: first step per block. Facts name the clean state.

    Raises:
        QueryError: Q105 column, Q108 nothing matches, Q110 no filter, Q111 no steps.
    """
    if not where:
        raise QueryError(
            "Q110",
            observed="no filter",
            expected="an example or at least one column with its value",
            where="first_use",
        )
    num_examples = matching_examples(records, where)
    matched, span = match_groups(records, None), match_steps(records, None, None)
    scope = Scope(records, matched, span, "energy")
    sql, values = conditions(records, where, "v")
    relation, _ = brought_together(records, "visits", where)
    visits, first_visit = records.ask(
        f"SELECT count(*), min(v.step) FROM {relation} v WHERE {sql}", values
    )[0]
    units: dict[str, list[GroupRecord]] = {}
    for group in sorted(matched.groups, key=lambda group: (group.block_index, group.group)):
        units.setdefault(group.block, []).append(group)
    members = {name: [group.group for group in groups] for name, groups in units.items()}
    found = first_steps(scope, where, members)
    profiles = profiles_of(scope, where)
    is_measured = bool(columns_of(scope, "visits", "gnorm"))
    rows = tuple(
        (name, found[name], weights_in_words(records, groups, profiles))
        for name, groups in units.items()
    )
    columns = (
        Column("block", "block"),
        Column("first_step", "first acted in step", "integer"),
        Column("weight", "weight"),
    )
    facts = {
        "examples that match": num_examples,
        "visits": int(visits),
        "first visit": f"step {first_visit}" if visits else "none: never presented",
        "first step in which they acted": found[TOTAL] if is_measured else None,
        **_clean(records, first_visit if visits else None),
    }
    return Answer(
        question="first_use",
        title=f"First use: {words(where)}",
        kind="accounting",
        facts=facts,
        tables=(Table("units", "First step per block, from input to output", columns, rows),),
        notes=tuple(_notes(records, is_measured=is_measured)),
    )


def _clean(records: Records, first_visit: int | None) -> dict[str, Any]:
    """Return the last stored state before the first visit; the last of all where there is none."""
    before = [step for step in stored_steps(records) if first_visit is None or step < first_visit]
    if not before:
        return {"last clean model state": None}
    record = read_state_record(state_folder(records, before[-1]))
    return {
        "last clean model state": f"after step {before[-1]}",
        "its digest": record.get("model_digest"),
    }


def _notes(records: Records, *, is_measured: bool) -> list[str]:
    notes = [
        "clean: stored before the first visit of any matching example, whatever its weight",
        "an opening balance is clean of this run's examples, not of what it was trained on before",
    ]
    if not is_measured:
        notes.append("the run books no visits per group: first steps are those of visits alone")
    if records.end is None:
        notes.append("the run was not closed: later visits may not be on disk")
    return notes
