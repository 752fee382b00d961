"""Do the books balance: verdict counts, and where residual, gap and rounding are largest."""

from __future__ import annotations

from typing import Any, Final

from gradledger.query.answer import Column, Table
from gradledger.query.measures import numbers
from gradledger.query.names import Matched, Span
from gradledger.query.records import Records
from gradledger.schema import VERDICT_NAMES

_RATIOS: Final[dict[str, tuple[str, str]]] = {
    "residual": ("residual_ratio", "unexplained, over the sum of the norms of all lines"),
    "gap": ("gap_ratio", "missed by capture, over the sum of the visits' norms"),
    "gap noise": ("gap_noise_ratio", "bound on rounding of the gradient's sum, where gap > bar"),
    "gap beyond": ("gap_excess_ratio", "part of the gap beyond that bound; decides the verdict"),
    "rounding": ("rounding_ratio", "|rounding| over |delta|"),
    "resolution": ("ulp_ratio", "2 |ulp(parameters)| over |delta|"),
}

#: Ratios that exist only where a gap exceeds its bar.
_ONLY_WHERE_MET: Final = frozenset({"gap noise", "gap beyond"})


#: Windows at most of the table over time; longer runs show the largest ratio of each window.
_WINDOWS: Final = 400


def balance_by_step(records: Records, matched: Matched, span: Span) -> Table:
    """Return the largest ratio of each kind over the groups, step by step."""
    width = -(-(span.stop - span.start + 1) // _WINDOWS)
    largest = ", ".join(
        f"max(CASE WHEN isfinite({column}) THEN {column} END)" for column, _ in _RATIOS.values()
    )
    rows = records.ask(
        f"SELECT min(step), max(step), {largest} FROM books "
        f'WHERE "group" IN ({numbers(matched.numbers)}) AND step BETWEEN ? AND ? '
        f"GROUP BY (step - {span.start}) // {width} ORDER BY 1",
        [span.start, span.stop],
    )
    columns = (
        Column("first_step", "first", "integer"),
        Column("last_step", "last", "integer"),
        *(Column(name, name, "number") for name in _RATIOS),
    )
    title = "Balance over time: largest ratio over the groups"
    return Table("balance_by_step", title, columns, tuple(rows), in_text=False)


def verdict_counts(records: Records, matched: Matched, span: Span) -> dict[str, int]:
    """Return how many books (step and group) got each verdict, in the order of the schema."""
    found = dict(
        records.ask(
            "SELECT verdict, count(*) FROM books "
            f'WHERE "group" IN ({numbers(matched.numbers)}) AND step BETWEEN ? AND ? GROUP BY 1',
            [span.start, span.stop],
        )
    )
    known = {name: int(found.pop(name, 0)) for name in VERDICT_NAMES}
    return known | {str(name): int(count) for name, count in sorted(found.items(), key=str)}


def balance_table(records: Records, matched: Matched, span: Span) -> Table:
    """Return the largest ratio of each kind with its step and parameter group."""
    names = {group.group: group.name for group in matched.groups}
    rows: list[tuple[Any, ...]] = []
    for name, (column, meaning) in _RATIOS.items():
        found = records.ask(
            f'SELECT {column}, step, "group" FROM books WHERE isfinite({column}) '
            f'AND "group" IN ({numbers(matched.numbers)}) AND step BETWEEN ? AND ? '
            f'ORDER BY {column} DESC, step, "group" LIMIT 1',
            [span.start, span.stop],
        )
        if found or name not in _ONLY_WHERE_MET:
            ratio, step, group = found[0] if found else (None, None, None)
            rows.append((name, ratio, step, names.get(group), meaning))
    columns = (
        Column("name", "largest"),
        Column("ratio", "ratio", "number"),
        Column("step", "step", "integer"),
        Column("group", "group"),
        Column("what", "what it is", wraps=True),
    )
    return Table("balance", "Balance: largest ratios and their places", columns, tuple(rows))
