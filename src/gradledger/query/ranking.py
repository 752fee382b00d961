"""Add up the values of visits by key and keep the best: the query behind a trace."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gradledger.query.measures import Scope, ValueSql, numbers, value_sql
from gradledger.query.records import Records
from gradledger.query.selection import Key

#: How rows are ordered; ties are broken by the key (the example number for examples).
ORDERS: Final[dict[str, str]] = {
    "size": "abs(value) DESC",
    "signed": "value DESC",
    "positive": "value DESC",
    "negative": "value ASC",
}

_SIGNS: Final[dict[str, str]] = {"positive": "value > 0", "negative": "value < 0"}


@dataclass(frozen=True)
class Ranked:
    """Keys with their values, best first.

    Attributes:
        rows: Key, value, visits, examples, first step, last step, decision.
        whole: Sum of the values of all keys.
        num_keys: How many keys there are in all.
        num_partial: Visits of which some value does not exist and was counted as zero.
    """

    rows: tuple[tuple[Any, ...], ...]
    whole: float
    num_keys: int
    num_partial: int


def rank(scope: Scope, key: Key, top: int, order: str) -> Ranked:
    """Return the ``top`` keys of the scope under its measure."""
    return rank_values(scope.records, value_sql(scope), key, top, order)


def rank_values(records: Records, sql: ValueSql, key: Key, top: int, order: str) -> Ranked:
    """Return the ``top`` keys by the sum of any value of visits.

    Args:
        records: The run.
        sql: The value of one visit.
        key: What visits roll up to.
        top: Keys at most.
        order: A key of ``ORDERS``.
    """
    ranked = _rank(records, sql, key, top, order, careful=False)
    # The plain form is faster and exact where every visit has every value; else ask again.
    if ranked.num_partial or not math.isfinite(ranked.whole):
        ranked = _rank(records, sql, key, top, order, careful=True)
    return ranked


def _rank(
    records: Records, sql: ValueSql, key: Key, top: int, order: str, *, careful: bool
) -> Ranked:
    value = sql.careful if careful else sql.plain
    present = f"count_if(isfinite({sql.plain}))" if careful else f"count({sql.plain})"
    sign = f"WHERE {_SIGNS[order]}" if order in _SIGNS else ""
    rows = records.ask(
        f"""
        WITH {sql.with_sql} a AS (
            SELECT v.example AS example, v.decision AS decision, sum({value}) AS total,
                   {present} AS present, count(*) AS visits,
                   min(v.step) AS first_step, max(v.step) AS last_step
            FROM {sql.source} WHERE {sql.where} GROUP BY v.example, v.decision
        ), keyed AS (
            SELECT {key.expression} AS key, sum(total * {key.weight}) AS value,
                   sum(visits)::BIGINT AS visits, count(DISTINCT example) AS examples,
                   min(first_step) AS first_step, max(last_step) AS last_step,
                   max(decision) AS decision
            FROM a {key.joins} GROUP BY 1
        ), whole AS (
            SELECT sum(value) AS value, count(*) AS num_keys,
                   (SELECT sum(visits) - sum(present) FROM a) AS partial FROM keyed
        )
        SELECT k.*, w.value, w.num_keys, w.partial
        FROM whole w LEFT JOIN (
            SELECT * FROM keyed {sign} ORDER BY {ORDERS[order]}, key NULLS LAST LIMIT {top}
        ) k ON true ORDER BY {ORDERS[order].replace("value", "k.value")}, k.key NULLS LAST
        """
    )
    whole, num_keys, partial = rows[0][-3:]
    # The outer join leaves one row of nulls where no key passed the sign filter.
    kept = tuple(row[:-3] for row in rows if row[2] is not None)
    return Ranked(kept, float(whole or 0.0), int(num_keys or 0), int(partial or 0))


def norms_by_key(scope: Scope, key: Key, keys: Sequence[Any]) -> dict[Any, float]:
    """Return the root mean square over visits of the gradient norm, per key."""
    present = scope.records.columns["visits"]
    groups = [g for g in scope.matched.numbers if f"gnorm_{g}" in present]
    if not keys or not groups:
        return {}
    squares = " + ".join(
        f"coalesce(CASE WHEN isfinite(v.gnorm_{g}) THEN v.gnorm_{g}::DOUBLE * v.gnorm_{g} END, 0)"
        for g in groups
    )
    # Only the examples shown are read; other keys need every visit anyway.
    shown = f"AND v.example IN ({numbers(keys)})" if key.name == "example" else ""
    rows = scope.records.ask(
        f"""
        WITH a AS (
            SELECT v.example AS example, v.decision AS decision,
                   sum({squares}) AS squares, count(*) AS visits
            FROM visits v WHERE v.step BETWEEN {scope.span.start} AND {scope.span.stop} {shown}
            GROUP BY v.example, v.decision
        )
        SELECT {key.expression} AS key, sqrt(sum(squares) / sum(visits)) FROM a {key.joins}
        GROUP BY 1
        """
    )
    return dict(rows)
