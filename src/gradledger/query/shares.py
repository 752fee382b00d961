"""What shaped each block, split by any key: sums of visits' values, and what they are divided by.

A trace ranks and cuts; a split keeps every key, so that its rows add up to all visits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gradledger.errors import QueryError
from gradledger.query.intervals import SETTLED
from gradledger.query.measures import (
    VISIT_LINES,
    Scope,
    choose,
    columns_of,
    line_sums,
    value_sql,
)
from gradledger.query.names import Matched, Span
from gradledger.query.records import Records
from gradledger.query.selection import Key

#: Measure of a run that booked no visit by parameter group: visits can be counted, not weighed.
COUNTED = "visits"


@dataclass(frozen=True)
class Slice:
    """One key of a split.

    Attributes:
        key: Its value; ``None`` where nothing is recorded.
        piece: Piece of time, from 0; 0 where time was not cut.
        values: Numerator per unit, in the order of the units.
        visits: Visits, or credit of visits where a key shares them with others.
        examples: Distinct examples that visited.
    """

    key: str | None
    piece: int
    values: tuple[float, ...]
    visits: float
    examples: int


@dataclass(frozen=True)
class Whole:
    """What the numerators of one unit are divided by.

    Attributes:
        squared: |D|^2, or the sum of |delta|^2.
        visits: Inner product of all visits' line with the change, as booked.
        lines: Inner product of every line, by name.
    """

    squared: float
    visits: float
    lines: dict[str, float]


def widest(records: Records, matched: Matched, span: Span) -> Scope:
    """Return the best measured scope of these steps: displacement, else energy, else counts."""
    try:
        return choose(records, matched, span, None)[0]
    except QueryError as error:
        if error.code != "Q107":
            raise
        return Scope(records, matched, span, COUNTED)


def within(scope: Scope, groups: Sequence[int]) -> Scope:
    """Return the scope with only these parameter groups."""
    kept = tuple(group for group in scope.matched.groups if group.group in set(groups))
    return replace(scope, matched=replace(scope.matched, groups=kept))


def wholes(scope: Scope, units: Mapping[str, Sequence[int]]) -> dict[str, Whole]:
    """Return denominator and lines of every unit; zeros where visits were only counted."""
    found = {}
    for name, groups in units.items():
        squared, lines = line_sums(within(scope, groups))
        visits = sum(dot for line, dot in lines.items() if line in VISIT_LINES)
        found[name] = Whole(squared, visits, lines)
    return found


def split(
    scope: Scope, key: Key, units: Mapping[str, Sequence[int]], *, width: int = 0
) -> list[Slice]:
    """Split the visits of a scope by ``key``, unit by unit.

    Args:
        scope: Steps, groups and measure.
        key: What makes one row; see ``key_of``.
        units: Name -> group numbers, such as one entry per block.
        width: Steps per piece of time; 0 does not cut time.

    Returns:
        One slice per key and piece, in the order of keys, ``None`` last. Terms that are not
        finite count as zero.
    """
    relation, prefix = _columns(scope)
    expressions = [
        value_sql(within(scope, groups)).careful
        if prefix and columns_of(within(scope, groups), relation, prefix)
        else "0.0"
        for groups in units.values()
    ]
    whole = value_sql(scope) if prefix else None
    source = whole.source if whole else "visits v"
    where = whole.where if whole else f"v.step BETWEEN {scope.span.start} AND {scope.span.stop}"
    piece = f"(v.step - {scope.span.start}) // {width}" if width else "0"
    inner = ", ".join(f"sum({value})::DOUBLE AS u_{i}" for i, value in enumerate(expressions))
    outer = ", ".join(f"sum(u_{i} * {key.weight})" for i in range(len(expressions)))
    rows = scope.records.ask(
        f"""
        WITH {whole.with_sql if whole else ""} a AS (
            SELECT v.example AS example, v.decision AS decision, {piece} AS piece,
                   count(*) AS visits, {inner}
            FROM {source} WHERE {where} GROUP BY v.example, v.decision, piece
        )
        SELECT CAST({key.expression} AS VARCHAR) AS key, piece, {outer},
               sum(visits * {key.weight})::DOUBLE, count(DISTINCT example)
        FROM a {key.joins} GROUP BY 1, 2 ORDER BY 1 NULLS LAST, 2
        """
    )
    return [
        Slice(
            key=row[0],
            piece=int(row[1]),
            values=tuple(float(value or 0.0) for value in row[2:-2]),
            visits=float(row[-2]),
            examples=int(row[-1]),
        )
        for row in rows
    ]


def _columns(scope: Scope) -> tuple[str, str]:
    """Return relation and column prefix of the measure; no prefix where visits are counted."""
    if scope.measure in SETTLED:
        return f"{scope.measure}_visits", "share"
    return "visits", {"energy": "align", "norm": "gnorm"}.get(scope.measure, "")
