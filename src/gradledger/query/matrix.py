"""Matrix: which part of the model was moved by which kind of example."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.cells import (
    OTHERS,
    Cell,
    by_unit,
    heads,
    hidden_note,
    leading,
    wholes_by_group,
)
from gradledger.query.measures import MEASURE_WORDS, MEASURES, Scope, choose
from gradledger.query.names import Matched, allowed, match_groups, match_steps
from gradledger.query.records import Records
from gradledger.query.selection import key_of
from gradledger.query.standing import standing_notes
from gradledger.query.timeline import at_least_one

#: What can be a row.
ROWS: Final[tuple[str, ...]] = ("block", "group")
_TOTAL: Final = "total"


@dataclass(frozen=True)
class _Sums:
    """Sums of every cell, and what they are shares of."""

    measure: str
    rows: str
    by: str
    units: tuple[str, ...]
    names: tuple[Any, ...]
    values: Mapping[tuple[str, Any], float]
    wholes: Mapping[str, float]

    def share(self, unit: str, name: Any) -> float | None:
        """Return the share; None where nothing changed or nothing was captured."""
        value, whole = self.values.get((unit, name)), self.wholes.get(unit)
        return value / whole if value is not None and whole else None


def matrix(
    records: Records,
    group: str | Sequence[str] | None = None,
    *,
    rows: str = "block",
    columns: str = "class",
    start: int | None = None,
    stop: int | None = None,
    measure: str | None = None,
    top: int = 12,
) -> Answer:
    """Return the share of every block or group that is booked to every key.

    Args:
        records: The run.
        group: Names, prefixes or globs of groups or blocks; all parameters by default.
        rows: ``block`` or ``group``, from input to output.
        columns: ``class``, ``rule``, ``profile``, any other key of a decision or a metadata column.
        start: First step, included.
        stop: Last step, included.
        measure: As in ``trace``.
        top: Keys that stand alone; the rest is joined as ``others``.

    Returns:
        Tables ``cells`` (one row per unit and key, in Arrow and JSON) and ``shares`` (one row per
        unit, one column per key). A share is of the change of its own row.

    Raises:
        QueryError: Q104 group, Q105 column, Q106 steps, Q107 measure, Q110 argument.
    """
    allowed("rows", rows, ROWS)
    if measure is not None:
        allowed("measure", measure, MEASURES)
    at_least_one(top=top)
    matched, span = match_groups(records, group), match_steps(records, start, stop)
    key = key_of(records, columns)
    scope, chosen = choose(records, matched, span, measure)
    units = _units(matched, rows)
    cells = by_unit(scope, key, units)
    kept = leading(cells, top)
    keys = list(dict.fromkeys(name for _, name in cells))
    names = [*kept, *([OTHERS] if len(keys) > len(kept) else [])]
    sums = _Sums(
        scope.measure, rows, columns, tuple(units), tuple(names), _joined(cells, kept),
        _wholes(scope, units),
    )  # fmt: skip
    return Answer(
        question="matrix",
        title=f"Matrix: what moved {matched} in {span}, {rows} by {columns}",
        kind="accounting",
        measure=scope.measure,
        facts={
            "measure": MEASURE_WORDS[scope.measure],
            "rows": f"{len(units)} {rows}s, from input to output",
            "columns": f"{len(keys)} values of {columns}",
        },
        tables=(_cells(sums), _shares(sums)),
        notes=(*_notes(records, scope, matched, chosen), *hidden_note(names)),
    )


def _units(matched: Matched, rows: str) -> dict[str, list[int]]:
    units: dict[str, list[int]] = {}
    for item in sorted(matched.groups, key=lambda item: (item.block_index, item.group)):
        units.setdefault(item.block if rows == "block" else item.name, []).append(item.group)
    return units


def _joined(
    cells: Mapping[tuple[str, Any], Cell], kept: Sequence[Any]
) -> dict[tuple[str, Any], float]:
    """Join the keys that are not kept, and add the sums over all units."""
    parts: dict[tuple[str, Any], list[float]] = {}
    for (unit, name), cell in cells.items():
        shown = name if name in kept else OTHERS
        parts.setdefault((unit, shown), []).append(cell.value)
        parts.setdefault((_TOTAL, shown), []).append(cell.value)
    return {place: math.fsum(values) for place, values in parts.items()}


def _wholes(scope: Scope, units: Mapping[str, Sequence[int]]) -> dict[str, float]:
    by_group = wholes_by_group(scope)
    found = {name: math.fsum(by_group.get(g, 0.0) for g in units[name]) for name in units}
    return found | {_TOTAL: math.fsum(found.values())}


def _cells(sums: _Sums) -> Table:
    found = tuple(
        (unit, name, sums.values.get((unit, name)), sums.share(unit, name))
        for unit in sums.units
        for name in sums.names
    )
    # A metadata column may be called like the rows.
    key = sums.by if sums.by != sums.rows else f"metadata.{sums.by}"
    columns = (
        Column(sums.rows, sums.rows),
        Column(key, sums.by),
        Column("value", "sum", "number"),
        Column("share", "share", "share"),
    )
    return Table("cells", f"By {sums.rows} and {sums.by}", columns, found, in_text=False)


def _shares(sums: _Sums) -> Table:
    headers, fitting = heads(sums.names)
    is_norm = sums.measure == "norm"
    found = []
    for unit in [*sums.units, *([_TOTAL] if len(sums.units) > 1 and not is_norm else [])]:
        cells = [
            sums.values.get((unit, name)) if is_norm else sums.share(unit, name)
            for name in sums.names
        ]
        known = [value for value in cells if value is not None]
        total = math.fsum(known) if known else None
        rest = 1.0 - total if total is not None and not is_norm else None
        found.append((unit, *cells, total, rest))
    kind = "number" if is_norm else "share"
    columns = (
        Column(sums.rows, sums.rows),
        *(
            Column(f"{sums.by}={name}", header, kind, in_text=place < fitting)
            for place, (name, header) in enumerate(zip(sums.names, headers, strict=True))
        ),
        Column("visits", "all visits", kind),
        Column("rest", "other lines", "share", in_text=not is_norm),
    )
    what = "Sums of gradient norms" if is_norm else "Shares of each row's own change"
    return Table("shares", f"{what}, by {sums.rows} and {sums.by}", columns, tuple(found))


def _notes(records: Records, scope: Scope, matched: Matched, chosen: str) -> list[str]:
    notes = ["accounting: adds up exactly, but is not a causal effect"]
    if scope.measure != "norm":
        notes.append("an exact 0 is a gradient that a depth profile kept out, or no visit at all")
        notes.append("other lines: momentum from before, decay, rounding; see books")
    if chosen:
        notes.append(chosen)
    return [*notes, *standing_notes(records, matched, scope.span)]
