"""What selected visits did to blocks or groups: one pass over the columns that matter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gradledger.query.measures import (
    USABLE,
    Scope,
    columns_of,
    factors_sql,
    numbers,
)
from gradledger.query.selection import CREDIT, conditions

#: Name of a block or group (or of a total) -> numbers of its parameter groups.
Units = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Touch:
    """What the selected visits did to one unit.

    Attributes:
        visits: Visits with a gradient other than zero in it.
        energy: Sum of cash alignments.
        energy_whole: Sum of |delta|^2.
        displacement: Sum of inner products with the displacement.
        displacement_whole: Squared norm of the displacement.
        squares: Sum over visits of the squared gradient norm.
        first: First step with such a visit.
        last: Last one.
    """

    visits: int = 0
    energy: float = 0.0
    energy_whole: float = 0.0
    displacement: float = 0.0
    displacement_whole: float = 0.0
    squares: float = 0.0
    first: int | None = None
    last: int | None = None

    @property
    def norm_rms(self) -> float | None:
        """Root mean square of the gradient norm over the visits that acted."""
        return math.sqrt(self.squares / self.visits) if self.visits else None

    @property
    def energy_share(self) -> float | None:
        """Share of energy; ``None`` where nothing changed."""
        return self.energy / self.energy_whole if self.energy_whole else None

    @property
    def displacement_share(self) -> float | None:
        """Share of displacement; ``None`` where nothing changed."""
        return self.displacement / self.displacement_whole if self.displacement_whole else None


def touches(scope: Scope, where: Mapping[str, Any], units: Units) -> dict[str, Touch]:
    """Return what the visits that match ``where`` did to each unit over the whole scope.

    Args:
        scope: Groups, steps and, for displacement, settled intervals.
        where: Filters, see ``selection.conditions``.
        units: What is added up together.
    """
    rows = scope.records.ask(*_visit_query(scope, where, units, "0"))
    found = _unpack(units, rows[0]) if rows else {name: Touch() for name in units}
    wholes = _energy_wholes(scope)
    displaced, displaced_wholes = _displacement(scope, where)
    return {
        name: replace(
            found[name],
            energy_whole=math.fsum(wholes.get(g, 0.0) for g in groups),
            displacement=math.fsum(displaced.get(g, 0.0) for g in groups),
            displacement_whole=math.fsum(displaced_wholes.get(g, 0.0) for g in groups),
        )
        for name, groups in units.items()
    }


def touches_in_time(scope: Scope, where: Mapping[str, Any], width: int) -> dict[int, Touch]:
    """Return what the visits did to all groups of the scope, per ``width`` steps.

    Returns:
        Number of the piece of time, from 0 -> what happened in it; displacement is left out.
    """
    piece = f"step - {scope.span.start}) // {width}"
    units = {"all": scope.matched.numbers}
    rows = scope.records.ask(*_visit_query(scope, where, units, f"(v.{piece}"))
    found = {int(row[0]): _unpack(units, row)["all"] for row in rows}
    wholes = scope.records.ask(
        f"SELECT ({piece}, sum(delta_norm * delta_norm) FROM books "
        f'WHERE {USABLE} AND "group" IN ({numbers(scope.matched.numbers)}) '
        "AND step BETWEEN ? AND ? GROUP BY 1",
        [scope.span.start, scope.span.stop],
    )
    return {
        int(number): replace(found.get(int(number), Touch()), energy_whole=float(whole or 0.0))
        for number, whole in wholes
    }


def _visit_query(
    scope: Scope, where: Mapping[str, Any], units: Units, key: str
) -> tuple[str, list[Any]]:
    """Return the query of five figures per unit: energy, squares, visits, first and last step."""
    sql, values = conditions(scope.records, where, "v")
    join, weight, join_values = _credit(where)
    aligned = set(columns_of(scope, "visits", "align"))
    normed = set(columns_of(scope, "visits", "gnorm"))
    parts = [key]
    for groups in units.values():
        energy = [_or_zero(f"v.align_{g}::DOUBLE * f.f_{g}") for g in groups if g in aligned]
        square = [_or_zero(f"v.gnorm_{g}::DOUBLE * v.gnorm_{g}") for g in groups if g in normed]
        acting = " OR ".join(f"v.gnorm_{g} > 0" for g in groups if g in normed) or "false"
        parts += [
            f"sum(({' + '.join(energy) or '0.0'}) * {weight})",
            f"sum({' + '.join(square) or '0.0'})",
            f"count(*) FILTER ({acting})",
            f"min(v.step) FILTER ({acting})",
            f"max(v.step) FILTER ({acting})",
        ]
    factors = factors_sql(scope, sorted(aligned)) if aligned else "SELECT DISTINCT step FROM books"
    text = (
        f"WITH factors AS ({factors}) SELECT {', '.join(parts)} "
        f"FROM visits v JOIN factors f ON f.step = v.step {join} "
        f"WHERE v.step BETWEEN ? AND ? AND {sql} GROUP BY 1 ORDER BY 1"
    )
    return text, [*join_values, scope.span.start, scope.span.stop, *values]


def _unpack(units: Units, row: Sequence[Any]) -> dict[str, Touch]:
    found = {}
    for place, name in enumerate(units):
        energy, squares, visits, first, last = row[1 + 5 * place : 6 + 5 * place]
        found[name] = Touch(
            visits=int(visits),
            energy=float(energy or 0.0),
            squares=float(squares or 0.0),
            first=first,
            last=last,
        )
    return found


def _energy_wholes(scope: Scope) -> dict[int, float]:
    rows = scope.records.ask(
        f'SELECT "group", sum(delta_norm * delta_norm) FROM books WHERE {USABLE} '
        f'AND "group" IN ({numbers(scope.matched.numbers)}) AND step BETWEEN ? AND ? GROUP BY 1',
        [scope.span.start, scope.span.stop],
    )
    return {int(g): float(whole or 0.0) for g, whole in rows}


def _displacement(
    scope: Scope, where: Mapping[str, Any]
) -> tuple[dict[int, float], dict[int, float]]:
    """Return, per group, the inner products of the visits' entries and |D|^2."""
    groups = columns_of(scope, "displacement_visits", "share")
    if not scope.intervals or not groups:
        return {}, {}
    sql, values = conditions(scope.records, where, "v")
    join, weight, join_values = _credit(where)
    chosen = numbers(item.number for item in scope.intervals)
    sums = ", ".join(f"sum({_or_zero(f'v.share_{g}::DOUBLE')} * {weight})" for g in groups)
    row = scope.records.ask(
        f"SELECT {sums} FROM displacement_visits v {join} WHERE v.interval IN ({chosen}) AND {sql}",
        [*join_values, *values],
    )[0]
    wholes = scope.records.ask(
        'SELECT "group", sum(sq) FROM (SELECT interval, "group", max(displacement_sq) AS sq '
        f"FROM displacement_lines WHERE interval IN ({chosen}) GROUP BY 1, 2) GROUP BY 1"
    )
    return (
        {g: float(value or 0.0) for g, value in zip(groups, row, strict=True)},
        {int(g): float(whole or 0.0) for g, whole in wholes},
    )


def _credit(where: Mapping[str, Any]) -> tuple[str, str, list[Any]]:
    """Return join, weight and bound values that give a rule its part of each decision."""
    if where.get("rule") is None:
        return "", "1.0", []
    join = (
        f"JOIN (SELECT decision, credit FROM {CREDIT} WHERE rule = ?) r ON r.decision = v.decision"
    )
    return join, "r.credit", [str(where["rule"])]


def _or_zero(term: str) -> str:
    return f"coalesce(CASE WHEN isfinite({term}) THEN {term} END, 0)"
