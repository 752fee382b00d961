"""Sums of visits by key, in pieces: by window of steps, or by block or parameter group.

What ``ranking`` adds up once for everything is added up here cell by cell, under the same measures.
Terms that do not exist count as zero, as they do there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gradledger.query.inert import inert
from gradledger.query.intervals import SETTLED
from gradledger.query.measures import (
    USABLE,
    Scope,
    columns_of,
    factors_sql,
    numbers,
    settled_sql,
    value_sql,
)
from gradledger.query.selection import Key

#: Name of the keys beyond those that are shown one by one.
OTHERS: Final = "others"

#: Characters of a key above its column, and of all such columns on one page of text.
_HEADER, _PAGE = 16, 52


@dataclass(frozen=True)
class Cell:
    """One sum.

    Attributes:
        value: Sum over the visits of the cell.
        visits: How many they are; None where that was not counted.
    """

    value: float
    visits: int | None = None


def by_window(scope: Scope, key: Key, width: int) -> dict[tuple[int, Any], Cell]:
    """Return (number of the window from 0, key) -> sum of the visits' values.

    Args:
        scope: Groups, steps, measure.
        key: How visits roll up.
        width: Steps of a window.
    """
    cells = _by_window(scope, key, width, careful=False)
    # As in ``ranking``: the plain form is faster, and exact where every visit has every value.
    if any(not math.isfinite(cell.value) for cell in cells.values()):
        cells = _by_window(scope, key, width, careful=True)
    return cells


def _by_window(scope: Scope, key: Key, width: int, *, careful: bool) -> dict[tuple[int, Any], Cell]:
    sql = value_sql(scope)
    total = f"sum({sql.careful})"
    if not careful:
        total = f"CASE WHEN count({sql.plain}) = count(*) THEN sum({sql.plain}) ELSE 'nan' END"
    rows = scope.records.ask(
        f"""
        WITH {sql.with_sql} a AS (
            SELECT v.example AS example, v.decision AS decision,
                   (v.step - {scope.span.start}) // {width} AS piece,
                   {total} AS total, count(*) AS visits
            FROM {sql.source} WHERE {sql.where} GROUP BY ALL
        )
        SELECT piece, {key.expression} AS key, sum(total * {key.weight}), sum(visits)::BIGINT
        FROM a {key.joins} GROUP BY 1, 2 ORDER BY 1, 2 NULLS LAST
        """
    )
    return {
        (int(piece), name): Cell(float(value or 0.0), int(visits))
        for piece, name, value, visits in rows
    }


def by_unit(
    scope: Scope, key: Key, units: Mapping[str, Sequence[int]]
) -> dict[tuple[str, Any], Cell]:
    """Return (unit, key) -> sum of the visits' values in that unit.

    Args:
        scope: Groups, steps, measure.
        key: How visits roll up.
        units: Name of a block or group -> numbers of its parameter groups.
    """
    terms, with_sql, source, where = _terms(scope)
    wanted = {
        name: [terms[g] for g in groups if g in terms]
        for name, groups in units.items()
        if any(g in terms for g in groups)
    }
    if not wanted:
        return {}
    root = "sqrt" if scope.measure == "norm" else ""
    sums = ", ".join(
        f"sum({root}({' + '.join(parts)})) AS u{place}"
        for place, parts in enumerate(wanted.values())
    )
    outer = ", ".join(f"sum(u{place} * {key.weight})" for place in range(len(wanted)))
    rows = scope.records.ask(
        f"""
        WITH {with_sql} a AS (
            SELECT v.example AS example, v.decision AS decision, {sums}
            FROM {source} WHERE {where} GROUP BY ALL
        )
        SELECT {key.expression} AS key, {outer} FROM a {key.joins}
        GROUP BY 1 ORDER BY 1 NULLS LAST
        """
    )
    return {
        (unit, row[0]): Cell(float(value or 0.0))
        for row in rows
        for unit, value in zip(wanted, row[1:], strict=True)
    }


def wholes_by_group(scope: Scope) -> dict[int, float]:
    """Return the denominator of each group: sum of |delta|^2, or |D|^2; empty under norm."""
    if scope.measure == "energy":
        rows = scope.records.ask(
            f'SELECT "group", sum(delta_norm * delta_norm) FROM books WHERE {USABLE} '
            f'AND "group" IN ({numbers(scope.matched.numbers)}) AND step BETWEEN ? AND ? '
            "GROUP BY 1 ORDER BY 1",
            [scope.span.start, scope.span.stop],
        )
    elif scope.measure in SETTLED:
        rows = scope.records.ask(
            'SELECT "group", sum(sq) FROM (SELECT interval, "group", max(displacement_sq) AS sq '
            f"FROM {scope.measure}_lines l WHERE {settled_sql(scope, 'l')} GROUP BY 1, 2) "
            f'WHERE "group" IN ({numbers(scope.matched.numbers)}) GROUP BY 1 ORDER BY 1'
        )
    else:
        return {}
    return {int(group): float(whole or 0.0) for group, whole in rows}


def wholes_by_window(scope: Scope, width: int) -> dict[int, float]:
    """Return the number of each window -> sum of |delta|^2 over its steps and all groups."""
    rows = scope.records.ask(
        f"SELECT (step - {scope.span.start}) // {width}, sum(delta_norm * delta_norm) FROM books "
        f'WHERE {USABLE} AND "group" IN ({numbers(scope.matched.numbers)}) '
        "AND step BETWEEN ? AND ? GROUP BY 1 ORDER BY 1",
        [scope.span.start, scope.span.stop],
    )
    return {int(piece): float(whole or 0.0) for piece, whole in rows}


def leading(cells: Mapping[tuple[Any, Any], Cell], top: int) -> list[Any]:
    """Return the keys that weigh most: by the sum of the sizes of their cells."""
    sizes: dict[Any, list[float]] = {}
    for (_, key), cell in cells.items():
        sizes.setdefault(key, []).append(abs(cell.value))
    ordered = sorted(sizes, key=lambda key: (-math.fsum(sizes[key]), key is None, str(key)))
    return ordered[:top]


def heads(keys: Sequence[Any]) -> tuple[list[str], int]:
    """Return short headers for columns of keys, and how many of them a page of text holds."""
    shown, used, fitting = [], 0, 0
    for key in keys:
        text = inert("-" if key is None else key, 400)
        if len(text) > _HEADER:
            text = f"{text[: _HEADER - 6]}\N{HORIZONTAL ELLIPSIS}{text[-5:]}"
        shown.append(text)
        used += max(len(text), 7) + 2
        fitting += used <= _PAGE
    return shown, fitting


def hidden_note(keys: Sequence[Any]) -> list[str]:
    """Return a note where a page of text does not hold all columns of keys."""
    left_out = len(keys) - heads(keys)[1]
    if left_out <= 0:
        return []
    return [f"text shows the first columns; {left_out} more are in JSON, Arrow and notebooks"]


def _terms(scope: Scope) -> tuple[dict[int, str], str, str, str]:
    """Return SQL of a visit's term in each group, and the relation it is taken from."""
    span = f"v.step BETWEEN {scope.span.start} AND {scope.span.stop}"
    if scope.measure == "energy":
        groups = columns_of(scope, "visits", "align")
        terms = {g: _or_zero(f"v.align_{g}::DOUBLE * f.f_{g}") for g in groups}
        source = "visits v JOIN factors f ON f.step = v.step"
        return terms, f"factors AS ({factors_sql(scope, groups)}),", source, span
    if scope.measure == "norm":
        groups = columns_of(scope, "visits", "gnorm")
        terms = {g: _or_zero(f"v.gnorm_{g}::DOUBLE * v.gnorm_{g}") for g in groups}
        return terms, "", "visits v", span
    table = f"{scope.measure}_visits"
    groups = columns_of(scope, table, "share")
    terms = {g: _or_zero(f"v.share_{g}::DOUBLE") for g in groups}
    return terms, "", f"{table} v", settled_sql(scope, "v")


def _or_zero(term: str) -> str:
    return f"coalesce(CASE WHEN isfinite({term}) THEN {term} END, 0)"
