"""What selected visits did to blocks or groups: one pass over the columns that matter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gradledger.query.intervals import tiling
from gradledger.query.measures import (
    USABLE,
    Scope,
    columns_of,
    factors_sql,
    numbers,
    settled_sql,
)
from gradledger.query.selection import CREDIT, brought_together, conditions

#: Key of what happened to all groups together; no block or group can have this name.
TOTAL: Final = "\0total"

#: Name of a block or group -> numbers of its parameter groups.
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
        frozen: Sum of inner products with the displacement by the frozen-curvature adjoint.
        frozen_whole: Squared norm of the displacement where that was settled.
        squares: Sum over visits of the squared gradient norm.
        first: First step with such a visit.
        last: Last one.
        captured: Whether any of its groups has per-example columns; without, shares do not exist.
    """

    visits: int = 0
    energy: float = 0.0
    energy_whole: float = 0.0
    displacement: float = 0.0
    displacement_whole: float = 0.0
    frozen: float = 0.0
    frozen_whole: float = 0.0
    squares: float = 0.0
    first: int | None = None
    last: int | None = None
    captured: bool = True

    @staticmethod
    def joined(parts: Sequence[Touch]) -> Touch:
        """Join pieces of time of one unit: sums and visits add up."""
        return Touch(
            visits=sum(part.visits for part in parts),
            energy=math.fsum(part.energy for part in parts),
            squares=math.fsum(part.squares for part in parts),
            first=min((part.first for part in parts if part.first is not None), default=None),
            last=max((part.last for part in parts if part.last is not None), default=None),
        )

    @property
    def norm_rms(self) -> float | None:
        """Root mean square of the gradient norm over the visits that acted."""
        return math.sqrt(self.squares / self.visits) if self.visits else None

    @property
    def energy_share(self) -> float | None:
        """Share of energy; ``None`` where nothing changed."""
        exists = self.captured and self.energy_whole
        return self.energy / self.energy_whole if exists else None

    @property
    def displacement_share(self) -> float | None:
        """Share of displacement; ``None`` where nothing changed."""
        exists = self.captured and self.displacement_whole
        return self.displacement / self.displacement_whole if exists else None

    @property
    def frozen_share(self) -> float | None:
        """Share of displacement by the frozen-curvature adjoint; ``None`` where nothing changed."""
        exists = self.captured and self.frozen_whole
        return self.frozen / self.frozen_whole if exists else None


def touches(
    scope: Scope, where: Mapping[str, Any], units: Units, width: int
) -> tuple[dict[str, Touch], dict[int, Touch]]:
    """Return what the visits that match ``where`` did to each unit, and to all groups in time.

    Args:
        scope: Groups, steps and, for displacement, settled intervals.
        where: Filters, see ``selection.conditions``.
        units: What is added up together.
        width: Steps of one piece of time.

    Returns:
        Unit, or ``TOTAL`` -> what happened in it; number of the piece of time, from 0 -> what
        happened to all groups in it, without displacement.
    """
    every = {**units, TOTAL: scope.matched.numbers}
    rows = scope.records.ask(*_visit_query(scope, where, every, width))
    pieces = {int(row[0]): _unpack(every, row) for row in rows}
    wholes = _energy_wholes(scope, width)
    displaced, displaced_wholes = _settled(scope, where)
    again = replace(scope, measure="frozen", intervals=tiling(scope.records, scope.span, "frozen"))
    frozen, frozen_wholes = _settled(again, where)
    captured = {
        *columns_of(scope, "visits", "align"),
        *columns_of(scope, "displacement_visits", "share"),
    }
    in_units = {
        name: replace(
            Touch.joined([piece[name] for piece in pieces.values()]),
            energy_whole=math.fsum(wholes[key] for key in wholes if key[1] in groups),
            displacement=math.fsum(displaced.get(g, 0.0) for g in groups),
            displacement_whole=math.fsum(displaced_wholes.get(g, 0.0) for g in groups),
            frozen=math.fsum(frozen.get(g, 0.0) for g in groups),
            frozen_whole=math.fsum(frozen_wholes.get(g, 0.0) for g in groups),
            captured=not captured.isdisjoint(groups),
        )
        for name, groups in every.items()
    }
    in_time = {
        number: replace(
            pieces[number][TOTAL] if number in pieces else Touch(),
            energy_whole=math.fsum(wholes[key] for key in wholes if key[0] == number),
        )
        for number in sorted({key[0] for key in wholes})
    }
    return in_units, in_time


def first_steps(scope: Scope, where: Mapping[str, Any], units: Units) -> dict[str, int | None]:
    """Return the first step in which the visits that match acted on each unit, and on any group.

    Args:
        scope: Groups and steps.
        where: Filters, see ``selection.conditions``.
        units: What is looked at together.

    Returns:
        Unit, or ``TOTAL`` -> step; None where no visit had a gradient other than zero there.
    """
    every = {**units, TOTAL: scope.matched.numbers}
    sql, values = conditions(scope.records, where, "v")
    relation, _ = brought_together(scope.records, "visits", where)
    normed = columns_of(scope, "visits", "gnorm")
    acted = {
        g: f"(isfinite(v.gnorm_{g}) AND v.gnorm_{g}::DOUBLE * v.gnorm_{g} > 0)" for g in normed
    }
    firsts = [
        f"min(v.step) FILTER ({' OR '.join(acted[g] for g in groups if g in acted) or 'false'})"
        for groups in every.values()
    ]
    row = scope.records.ask(
        f"SELECT {', '.join(firsts)} FROM {relation} v WHERE v.step BETWEEN ? AND ? "
        f"AND v.step IN (SELECT step FROM books) AND {sql}",
        [scope.span.start, scope.span.stop, *values],
    )[0]
    return dict(zip(every, row, strict=True))


def _visit_query(
    scope: Scope, where: Mapping[str, Any], units: Units, width: int
) -> tuple[str, list[Any]]:
    """Return the query of five figures per unit: energy, squares, visits, first and last step."""
    sql, values = conditions(scope.records, where, "v")
    join, weight, join_values = _credit(where)
    aligned = columns_of(scope, "visits", "align")
    normed = columns_of(scope, "visits", "gnorm")
    # Terms are made finite once, over the few visits that match, and only then added up.
    picked = [
        *(f"{_or_zero(f'v.align_{g}::DOUBLE * f.f_{g}')} * {weight} AS e_{g}" for g in aligned),
        *(f"{_or_zero(f'v.gnorm_{g}::DOUBLE * v.gnorm_{g}')} AS s_{g}" for g in normed),
        f"(v.step - {scope.span.start}) // {width} AS piece",
        "v.step AS step",
    ]
    parts = ["piece"]
    for groups in units.values():
        energy = " + ".join(f"e_{g}" for g in groups if g in aligned) or "0.0"
        square = " + ".join(f"s_{g}" for g in groups if g in normed) or "0.0"
        acting = f"FILTER ({square} > 0)"
        parts += [
            f"sum({energy})",
            f"sum({square})",
            f"count(*) {acting}",
            f"min(step) {acting}",
            f"max(step) {acting}",
        ]
    columns = ", ".join(
        [
            "step",
            "micro_batch",
            "position",
            "decision",
            *(f"align_{g}" for g in aligned),
            *(f"gnorm_{g}" for g in normed),
        ]
    )
    relation, order = brought_together(scope.records, "visits", where)
    factors = "SELECT DISTINCT step FROM books"
    if aligned:
        # Few rows are spread over few steps: the others need no factor.
        steps = "AND step IN (SELECT step FROM v)" if order else ""
        factors = factors_sql(scope, aligned, steps)
    text = (
        "WITH v AS MATERIALIZED ("
        f"SELECT {columns} FROM {relation} v WHERE v.step BETWEEN ? AND ? AND {sql}"
        f"), factors AS ({factors}), picked AS MATERIALIZED (SELECT {', '.join(picked)} "
        f"FROM v JOIN factors f ON f.step = v.step {join} {order}) "
        f"SELECT {', '.join(parts)} FROM picked GROUP BY piece ORDER BY piece"
    )
    return text, [scope.span.start, scope.span.stop, *values, *join_values]


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


def _energy_wholes(scope: Scope, width: int) -> dict[tuple[int, int], float]:
    """Return (piece of time, group) -> sum of |delta|^2."""
    rows = scope.records.ask_once(
        f'SELECT (step - {scope.span.start}) // {width}, "group", sum(delta_norm * delta_norm) '
        f'FROM books WHERE {USABLE} AND "group" IN ({numbers(scope.matched.numbers)}) '
        "AND step BETWEEN ? AND ? GROUP BY 1, 2 ORDER BY 1, 2",
        [scope.span.start, scope.span.stop],
    )
    return {(int(piece), int(g)): float(whole or 0.0) for piece, g, whole in rows}


def _settled(scope: Scope, where: Mapping[str, Any]) -> tuple[dict[int, float], dict[int, float]]:
    """Return, per group, the inner products of the visits and |D|^2, for intervals of a scope."""
    table = f"{_kind(scope)}_visits"
    groups = columns_of(scope, table, "share")
    if not scope.intervals or not groups:
        return {}, {}
    sql, values = conditions(scope.records, where, "v")
    join, weight, join_values = _credit(where)
    relation, order = brought_together(scope.records, table, where)
    sums = ", ".join(f"sum({_or_zero(f'v.share_{g}::DOUBLE')} * v.credit)" for g in groups)
    row = scope.records.ask(
        # Materialised, or the engine would drop an order that sums do not ask for.
        f"WITH v AS MATERIALIZED (SELECT v.*, {weight} AS credit FROM {relation} v {join} "
        f"WHERE {settled_sql(scope, 'v')} AND {sql} {order}) SELECT {sums} FROM v",
        [*join_values, *values],
    )[0]
    return (
        {g: float(value or 0.0) for g, value in zip(groups, row, strict=True)},
        displacement_wholes(scope),
    )


def displacement_wholes(scope: Scope) -> dict[int, float]:
    """Return the squared norm of the displacement over the intervals of a scope, per group."""
    table = f"{_kind(scope)}_lines"
    rows = scope.records.ask_once(
        'SELECT "group", sum(sq) FROM (SELECT interval, "group", max(displacement_sq) AS sq '
        f"FROM {table} l WHERE {settled_sql(scope, 'l')} GROUP BY 1, 2) GROUP BY 1"
    )
    return {int(group): float(whole or 0.0) for group, whole in rows}


def _kind(scope: Scope) -> str:
    return "frozen" if scope.measure == "frozen" else "displacement"


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
