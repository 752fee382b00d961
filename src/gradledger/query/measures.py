"""How contributions add up: the SQL of one visit's value under each measure, and its denominator.

Four measures, never mixed and named in every answer:

- ``energy`` (cash basis): sum of <C kappa gamma_v, delta_t> over sum of |delta_t|^2, from booked
  scalars: the stored alignment times the step's cash factor;
- ``displacement`` (accrual basis): <sum of u_v, D> over |D|^2, D the change over an interval, from
  the displacement tables of a settling pass;
- ``frozen``: <D_v, D> over |D|^2, D_v what later steps, with second moments as they were, really
  made of the gradient: the frozen-curvature adjoint, from the frozen tables of a settling pass;
- ``norm``: sum of |gamma_v|, how hard the examples pulled, whatever came of it.

For several parameter groups numerators and denominators are summed before dividing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gradledger.errors import QueryError
from gradledger.query.intervals import SETTLED, Interval, all_intervals, tiling
from gradledger.query.names import Matched, Span
from gradledger.query.records import Records
from gradledger.schema import CASH_LINES

MEASURES: Final[tuple[str, ...]] = ("displacement", "frozen", "energy", "norm")

#: Names under which the settling pass may book the visits' own line.
VISIT_LINES: Final = frozenset(
    {"visits", "contributions", "accrued_contributions", "frozen_contributions"}
)

MEASURE_WORDS: Final[dict[str, str]] = {
    "displacement": "share of displacement (accrual basis): <entries, D> / |D|^2, D the change of "
    "the parameters over the interval",
    "frozen": "share of displacement by the frozen-curvature adjoint: <D_v, D> / |D|^2, D_v what "
    "later steps, second moments as they were, really made of a gradient",
    "energy": "share of energy (cash basis): sum of <direct part, delta> / sum of |delta|^2, over "
    "steps",
    "norm": "gradient norm: sum over visits of |gradient after the depth profile|; says how hard "
    "an example pulled, not what came of it",
}

#: Rows of the books whose figures can be added; SQL on ``books``.
USABLE: Final = "(isfinite(delta_norm) AND coalesce(verdict, '') <> 'not finite')"


@dataclass(frozen=True)
class Scope:
    """What a question is about.

    Attributes:
        records: The run.
        matched: Parameter groups.
        span: Steps.
        measure: One of ``MEASURES``.
        intervals: Intervals that tile the span; empty for other measures than displacement.
    """

    records: Records
    matched: Matched
    span: Span
    measure: str
    intervals: tuple[Interval, ...] = ()


@dataclass(frozen=True)
class ValueSql:
    """SQL of the value of one visit.

    Attributes:
        with_sql: Named subqueries, with a final comma; empty where none is needed.
        source: Relation ``v`` with what it is joined to.
        where: Condition on ``v`` that restricts it to the scope.
        plain: Value of a visit; null or NaN as soon as one of its terms is.
        careful: The same with terms that do not exist counted as zero; slower.
    """

    with_sql: str
    source: str
    where: str
    plain: str
    careful: str


def choose(
    records: Records, matched: Matched, span: Span, measure: str | None
) -> tuple[Scope, str]:
    """Return the scope with the measure settled, and a note on that choice (may be empty).

    Args:
        records: The run.
        matched: Parameter groups.
        span: Steps.
        measure: One of ``MEASURES``; ``None`` takes displacement where it was settled for exactly
            these steps, else energy.

    Raises:
        QueryError: Q107 where the measure was not recorded for this scope.
    """
    asked = measure or "displacement"
    intervals = tiling(records, span, asked) if asked in SETTLED else ()
    if intervals and _has_columns(records, f"{asked}_visits", "share", matched):
        return Scope(records, matched, span, asked, intervals), ""
    if measure in SETTLED:
        raise _not_settled(records, matched, span, measure)
    settled = measure or "energy"
    prefix = "gnorm" if settled == "norm" else "align"
    if not _has_columns(records, "visits", prefix, matched):
        raise _not_booked(records, matched, settled)
    note = ""
    if measure is None and records.has("displacement_lines"):
        note = f"displacement was not settled for {span}, so energy is shown"
    elif measure is None:
        note = "displacement shares were not settled for this run, so energy is shown"
    return Scope(records, matched, span, settled), note


def value_sql(scope: Scope, measure: str | None = None) -> ValueSql:
    """Return the SQL of one visit's value under the measure of ``scope`` (or another one)."""
    measure = measure or scope.measure
    span = f"v.step BETWEEN {scope.span.start} AND {scope.span.stop}"
    if measure == "energy":
        groups = columns_of(scope, "visits", "align")
        terms = {g: f"v.align_{g}::DOUBLE * f.f_{g}" for g in groups}
        plain = " + ".join(terms.values())
        if is_uniform(scope, groups):
            plain = f"f.f_{groups[0]} * ({' + '.join(f'v.align_{g}::DOUBLE' for g in groups)})"
        return ValueSql(
            with_sql=f"factors AS ({factors_sql(scope, groups)}),",
            source="visits v JOIN factors f ON f.step = v.step",
            where=span,
            plain=plain,
            careful=" + ".join(_or_zero(term) for term in terms.values()),
        )
    if measure == "norm":
        groups = columns_of(scope, "visits", "gnorm")
        squares = [f"v.gnorm_{g}::DOUBLE * v.gnorm_{g}" for g in groups]
        return ValueSql(
            with_sql="",
            source="visits v",
            where=span,
            plain=f"sqrt({' + '.join(squares)})",
            careful=f"sqrt({' + '.join(_or_zero(term) for term in squares)})",
        )
    groups = columns_of(scope, f"{measure}_visits", "share")
    shares = [f"v.share_{g}::DOUBLE" for g in groups]
    return ValueSql(
        with_sql="",
        source=f"{measure}_visits v",
        where=settled_sql(scope, "v"),
        plain=" + ".join(shares),
        careful=" + ".join(_or_zero(term) for term in shares),
    )


def settled_sql(scope: Scope, alias: str) -> str:
    """Return SQL of the chosen intervals; numbers alone restart with every settling pass."""
    keys = ", ".join(f"({item.number}, {item.start}, {item.stop})" for item in scope.intervals)
    return f"({alias}.interval, {alias}.start_step, {alias}.stop_step) IN ({keys})"


def factors_sql(scope: Scope, groups: Sequence[int], steps: str = "") -> str:
    """Return SQL of one row per step with the cash factor ``f_G`` of each group G.

    Args:
        scope: Steps.
        groups: Their numbers.
        steps: A further condition on steps, beginning with ``AND``.
    """
    columns = ", ".join(
        f'max(cash_factor) FILTER ("group" = {g} AND {USABLE}) AS f_{g}' for g in groups
    )
    return (
        f"SELECT step, {columns} FROM books "
        f"WHERE step BETWEEN {scope.span.start} AND {scope.span.stop} {steps} GROUP BY step"
    )


def is_uniform(scope: Scope, groups: Sequence[int]) -> bool:
    """Whether all ``groups`` share one cash factor in every step: then it is multiplied once."""
    return bool(
        scope.records.ask(
            "SELECT coalesce(bool_and(few = 1 AND held = ?), false) FROM ("
            "  SELECT count(DISTINCT cash_factor) AS few, "
            f"   count(cash_factor) FILTER ({USABLE}) AS held FROM books "
            f'  WHERE step BETWEEN ? AND ? AND "group" IN ({numbers(groups)}) GROUP BY step)',
            [len(groups), scope.span.start, scope.span.stop],
        )[0][0]
    )


def line_sums(scope: Scope) -> tuple[float, dict[str, float]]:
    """Return the denominator of the scope and the sum of every line's inner product.

    Returns:
        Squared norm (sum of |delta|^2, or |D|^2), and line -> inner product with the change.
        Under ``norm`` both are empty: norms have no lines beside them.
    """
    records, groups = scope.records, numbers(scope.matched.numbers)
    if scope.measure == "energy":
        dots = ", ".join(f"sum({_finite(line + '_dot')})" for line in CASH_LINES)
        row = records.ask(
            f"SELECT sum(delta_norm * delta_norm), {dots} FROM books WHERE {USABLE} "
            f'AND "group" IN ({groups}) AND step BETWEEN ? AND ?',
            [scope.span.start, scope.span.stop],
        )[0]
        sums = [float(value or 0.0) for value in row]
        return sums[0], dict(zip(CASH_LINES, sums[1:], strict=True))
    if scope.measure in SETTLED:
        table = f"{scope.measure}_lines"
        where = f'"group" IN ({groups}) AND {settled_sql(scope, table)}'
        lines = records.ask(
            f"SELECT line, sum({_finite('dot')}) FROM {table} WHERE {where} "
            "GROUP BY line ORDER BY line"
        )
        whole = records.ask(
            f"SELECT sum(sq) FROM (SELECT max(displacement_sq) AS sq FROM {table} "
            f'WHERE {where} GROUP BY interval, "group")'
        )[0][0]
        return float(whole or 0.0), {str(line): float(dot or 0.0) for line, dot in lines}
    return 0.0, {}


def numbers(values: Iterable[int]) -> str:
    """Return integers as an SQL list; ``NULL`` for none, which matches nothing."""
    return ", ".join(str(int(value)) for value in values) or "NULL"


def columns_of(scope: Scope, relation: str, prefix: str) -> list[int]:
    """Return the matched groups that have a column ``prefix_G`` in ``relation``."""
    present = scope.records.columns[relation]
    return [g for g in scope.matched.numbers if f"{prefix}_{g}" in present]


def _or_zero(term: str) -> str:
    return f"coalesce(CASE WHEN isfinite({term}) THEN {term} END, 0)"


def _finite(column: str) -> str:
    return f"CASE WHEN isfinite({column}) THEN {column} END"


def _has_columns(records: Records, relation: str, prefix: str, matched: Matched) -> bool:
    present = records.columns[relation]
    return any(f"{prefix}_{g}" in present for g in matched.numbers)


def _not_settled(records: Records, matched: Matched, span: Span, measure: str) -> QueryError:
    known = [f"{item.start + 1} to {item.stop}" for item in all_intervals(records, measure)]
    return QueryError(
        "Q107",
        observed=f"{measure=} for {span}, {matched}",
        expected=f"steps {', '.join(known[:6])}" if known else f"a run with {measure} tables",
        where=str(records.path),
        hint="ask with measure='energy', or settle these steps: "
        f"gradledger settle --measure {measure}",
    )


def _not_booked(records: Records, matched: Matched, measure: str) -> QueryError:
    level = records.begin.level
    return QueryError(
        "Q107",
        observed=f"measure={measure!r}; no visit column for {matched} at recording level {level!r}",
        expected="groups with per-example capture in a run of level 'shares'",
        where=str(records.path),
        hint="see books for the lines of these groups"
        if level != "decisions"
        else "record with level='shares'",
    )
