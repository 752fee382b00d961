"""What changed between two steps, per group, and who moved it."""

from __future__ import annotations

import math
from typing import Any

from gradledger.errors import QueryError
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.books import UNITS
from gradledger.query.measures import USABLE, numbers
from gradledger.query.names import Span, allowed, match_groups, match_steps
from gradledger.query.records import Records
from gradledger.query.selection import metadata_columns
from gradledger.query.standing import standing_notes
from gradledger.query.stored_states import (
    MODEL_FILE,
    Distance,
    distances,
    read_model,
    state_folder,
    stored_steps,
    together,
)
from gradledger.query.trace import trace
from gradledger.schema import GroupRecord

_DISTANCE = "|change|: Euclidean distance between the two stored models"
_PATH = (
    "path: root of the sum over groups of (sum over steps of |delta|)^2; at least the distance, "
    "more where steps undid each other"
)

#: Movers that an answer lists.
_MOVERS = 5


def diff(
    records: Records, start: int, stop: int, *, by: str = "block", who: str | None = None
) -> Answer:
    """Compare the model after one step with the model after a later one.

    Args:
        records: The run.
        start: The earlier step; 0 is the opening balance.
        stop: The later step.
        by: ``block`` or ``group``.
        who: Key of the movers, as in ``trace``; by default ``source`` where the run has it, else
            ``class``.

    Returns:
        Tables ``units`` and ``movers``. Distances need stored states at both ends; without them
        the books say how far the steps went, one after the other.

    Raises:
        QueryError: Q105 column, Q106 steps, Q110 argument, Q111 no steps.
    """
    allowed("by", by, UNITS)
    span = _span(records, start, stop)
    matched = match_groups(records, None)
    stored = stored_steps(records)
    moved: dict[int, Distance] = {}
    if start in stored and stop in stored:
        before, after = (
            read_model(state_folder(records, step) / MODEL_FILE) for step in (start, stop)
        )
        moved = distances(before, after, matched.groups)
    units: dict[str, list[GroupRecord]] = {}
    for group in sorted(matched.groups, key=lambda group: (group.block_index, group.group)):
        units.setdefault(group.block if by == "block" else group.name, []).append(group)
    tables = [_units(units, moved, _paths(records, matched.numbers, span), by)]
    missing = f"no distance: states are stored after steps {', '.join(map(str, stored))}"
    notes = [_DISTANCE if moved else missing, _PATH]
    movers = _movers(records, span, who)
    if movers is not None:
        tables.append(movers[0])
        notes.append(movers[1])
    return Answer(
        question="diff",
        title=f"What changed from after step {start} to after step {stop}",
        kind="accounting",
        facts={"stored states at both ends": bool(moved)},
        tables=tuple(tables),
        notes=(*notes, *standing_notes(records, matched, span)),
    )


def _span(records: Records, start: int, stop: int) -> Span:
    whole = match_steps(records, None, None)
    first = whole.start - 1
    if not first <= start < stop <= whole.stop:
        raise QueryError(
            "Q106",
            observed=f"{start} and {stop}",
            expected=f"two steps, the earlier first, within {first} to {whole.stop}",
            where=str(records.path),
        )
    return Span(start + 1, stop)


def _paths(records: Records, groups: tuple[int, ...], span: Span) -> dict[int, float]:
    """Return the sum over steps of |delta| of every group."""
    rows = records.ask(
        f'SELECT "group", sum(delta_norm) FROM books WHERE {USABLE} '
        f'AND "group" IN ({numbers(groups)}) AND step BETWEEN ? AND ? GROUP BY 1',
        [span.start, span.stop],
    )
    return {int(group): float(length or 0.0) for group, length in rows}


def _units(
    units: dict[str, list[GroupRecord]],
    moved: dict[int, Distance],
    paths: dict[int, float],
    by: str,
) -> Table:
    every = [group for groups in units.values() for group in groups]
    rows = []
    for name, groups in {**units, "total": every}.items():
        parts = [moved[group.group] for group in groups if group.group in moved]
        distance = together(parts) if parts else None
        path = math.hypot(*(paths.get(group.group, 0.0) for group in groups))
        change = distance.norm if distance else None
        rows.append(
            (
                name,
                change,
                distance.norm / distance.before if distance and distance.before else None,
                path,
                change / path if change is not None and path else None,
            )
        )
    columns: tuple[Column, ...] = (
        Column(by, by),
        Column("change", "|change|", "number"),
        Column("relative", "over |before|", "number"),
        Column("path", "path", "number"),
        Column("straightness", "change over path", "number"),
    )
    return Table("units", f"By {by}, from input to output", columns, tuple(rows))


def _movers(records: Records, span: Span, who: str | None) -> tuple[Table, str] | None:
    """Return the largest movers of these steps; nothing where the run books no visits."""
    key = who or ("source" if "source" in metadata_columns(records) else "class")
    try:
        answer = trace(records, None, start=span.start, stop=span.stop, by=key, top=_MOVERS)
    except QueryError as error:
        if error.code == "Q107":
            return None
        raise
    ranking = answer.table()
    kept = [place for place, column in enumerate(ranking.columns) if column.in_text]
    rows: list[tuple[Any, ...]] = [tuple(row[place] for place in kept) for row in ranking.rows]
    columns = tuple(ranking.columns[place] for place in kept)
    return (
        Table("movers", f"Who moved it: {ranking.title.lower()}", columns, tuple(rows)),
        f"who moved it: {answer.facts['measure']}; accounting, not causality",
    )
