"""The books: every line per parameter group, whether they balance, who owns the displacement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.balance import balance_by_step, balance_table, verdict_counts
from gradledger.query.intervals import tiling
from gradledger.query.lines import in_order, line_words
from gradledger.query.measures import Scope, line_sums, numbers
from gradledger.query.names import Matched, Span, allowed, match_groups, match_steps
from gradledger.query.records import Records
from gradledger.query.standing import standing_notes
from gradledger.schema import ACCRUAL_LINES, CASH_LINES

UNITS: Final[tuple[str, ...]] = ("block", "group")
_BASES: Final[dict[str, tuple[str, ...]]] = {"cash": CASH_LINES, "accrual": ACCRUAL_LINES}

#: Cash lines that have a column of their own per block; the others are shown as one.
_SHOWN: Final[dict[str, tuple[str, ...]]] = {
    "visits": ("contributions",),
    "history": ("history", "history_decay"),
    "decay": ("decay",),
    "other": ("gap", "unattributed", "edits", "remainder", "rounding", "residual"),
}


def books(
    records: Records,
    group: str | Sequence[str] | None = None,
    *,
    start: int | None = None,
    stop: int | None = None,
    step: int | None = None,
    by: str = "block",
) -> Answer:
    """Return the lines of the books of the parameter groups that ``group`` names.

    Args:
        records: The run.
        group: Names, prefixes or globs of groups or blocks; all parameters by default.
        start: First step, included.
        stop: Last step, included.
        step: Only this step; in place of ``start`` and ``stop``.
        by: ``block`` or ``group``.

    Returns:
        Tables ``units`` (one row per block or group), ``cash``, ``accrual``, ``displacement``
        where it was settled, ``balance`` (worst places), and, not shown as text,
        ``balance_by_step`` and ``lines`` (every line per unit). Shares are <line, delta> over
        |delta|^2, both summed over steps and groups.

    Raises:
        QueryError: Q104 group, Q106 steps, Q110 argument.
    """
    allowed("by", by, UNITS)
    if step is not None:
        start = stop = step
    matched, span = match_groups(records, group), match_steps(records, start, stop)
    sums = _sums(records, matched, span)
    units: dict[str, list[int]] = {}
    for item in sorted(matched.groups, key=lambda item: (item.block_index, item.group)):
        units.setdefault(item.block if by == "block" else item.name, []).append(item.group)
    joined = {name: _joined([sums[g] for g in members if g in sums])
              for name, members in units.items()}  # fmt: skip
    whole = _joined(list(sums.values()))
    counts = verdict_counts(records, matched, span)
    tables = [
        _units(records, units, joined, whole, span, by),
        *(_basis(basis, whole) for basis in _BASES),
        *_displacement(records, matched, span),
        balance_table(records, matched, span),
        balance_by_step(records, matched, span),
        _long(joined, by),
    ]
    return Answer(
        question="books",
        title=f"Books of {matched}, {span}",
        kind="accounting",
        measure="share of |delta|^2",
        facts={
            "books": sum(counts.values()),
            "verdicts": {name: count for name, count in counts.items() if count},
            "root of sum |delta|^2": math.sqrt(whole["squared"]),
        },
        tables=tuple(tables),
        notes=tuple(_notes(records, matched, span)),
        findings=counts.get("unbalanced", 0) + counts.get("not finite", 0),
    )


def _sums(records: Records, matched: Matched, span: Span) -> dict[int, dict[str, float]]:
    """Return per group the sums over steps: squared delta, and dot and squared norm of lines."""
    lines = (*CASH_LINES, *ACCRUAL_LINES)
    fields = ", ".join(
        f"sum(CASE WHEN isfinite({line}_dot) THEN {line}_dot END), "
        f"sum(CASE WHEN isfinite({line}_norm) THEN {line}_norm * {line}_norm END)"
        for line in lines
    )
    rows = records.ask(
        f'SELECT "group", sum(delta_norm * delta_norm), {fields} FROM books '
        "WHERE isfinite(delta_norm) AND coalesce(verdict, '') <> 'not finite' "
        f'AND "group" IN ({numbers(matched.numbers)}) AND step BETWEEN ? AND ? '
        "GROUP BY 1 ORDER BY 1",
        [span.start, span.stop],
    )
    found = {}
    for number, squared, *values in rows:
        sums = {"squared": float(squared or 0.0)}
        for place, line in enumerate(lines):
            sums[f"{line}_dot"] = float(values[2 * place] or 0.0)
            sums[f"{line}_sq"] = float(values[2 * place + 1] or 0.0)
        found[int(number)] = sums
    return found


def _joined(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    lines = (*CASH_LINES, *ACCRUAL_LINES)
    names = ["squared", *(f"{line}_{part}" for line in lines for part in ("dot", "sq"))]
    return {name: math.fsum(part[name] for part in parts) for name in names}


def _share(sums: Mapping[str, float], lines: Sequence[str]) -> float | None:
    if not sums["squared"]:
        return None
    return math.fsum(sums[f"{line}_dot"] for line in lines) / sums["squared"]


def _units(
    records: Records,
    units: Mapping[str, Sequence[int]],
    joined: Mapping[str, Mapping[str, float]],
    whole: Mapping[str, float],
    span: Span,
    by: str,
) -> Table:
    worst = {
        int(g): ratios
        for g, *ratios in records.ask(
            'SELECT "group", max(CASE WHEN isfinite(residual_ratio) THEN residual_ratio END), '
            "max(CASE WHEN isfinite(gap_ratio) THEN gap_ratio END) FROM books "
            "WHERE step BETWEEN ? AND ? GROUP BY 1",
            [span.start, span.stop],
        )
    }

    def row(name: str, sums: Mapping[str, float], members: Sequence[int]) -> tuple[Any, ...]:
        shares = [_share(sums, lines) for lines in _SHOWN.values()]
        ratios = [
            max((worst[g][i] for g in members if g in worst and worst[g][i] is not None),
                default=None)
            for i in range(2)
        ]  # fmt: skip
        return (name, math.sqrt(sums["squared"]), *shares, _share(sums, CASH_LINES), *ratios)

    everything = [number for members in units.values() for number in members]
    rows = [row(name, joined[name], members) for name, members in units.items()]
    if len(rows) > 1:
        rows.append(row("total", whole, everything))
    columns = (
        Column(by, by),
        Column("delta_norm", "|delta|", "number"),
        *(Column(name, name, "share") for name in _SHOWN),
        Column("sum", "sum", "share"),
        Column("residual_ratio", "residual", "number"),
        Column("gap_ratio", "gap", "number"),
    )
    title = f"By {by}, cash basis: shares of |delta|^2; residual and gap: largest ratio"
    return Table("units", title, columns, tuple(rows))


def _basis(basis: str, whole: Mapping[str, float]) -> Table:
    lines = _BASES[basis]
    rows = [
        (line, math.sqrt(whole[f"{line}_sq"]), _share(whole, [line]), line_words(line))
        for line in lines
    ]
    rows.append(("total", math.sqrt(whole["squared"]), _share(whole, lines), "all of the change"))
    columns = (
        Column("line", "line"),
        Column("norm", "norm", "number"),
        Column("share", "share of |delta|^2", "share"),
        Column("what", "what it is", wraps=True),
    )
    return Table(basis, f"{basis.capitalize()} basis, all of these groups", columns, tuple(rows))


def _displacement(records: Records, matched: Matched, span: Span) -> list[Table]:
    intervals = tiling(records, span)
    if not intervals:
        return []
    squared, lines = line_sums(Scope(records, matched, span, "displacement", intervals))
    rows = [
        (line, lines[line] / squared if squared else None, line_words(line))
        for line in in_order(lines)
    ]
    total = math.fsum(lines.values())
    rows.append(("total", total / squared if squared else None, "all of the change"))
    columns = (
        Column("line", "line"),
        Column("share", "share of |D|^2", "share"),
        Column("what", "what it is", wraps=True),
    )
    return [Table("displacement", "Who owns the displacement", columns, tuple(rows))]


def _long(joined: Mapping[str, Mapping[str, float]], by: str) -> Table:
    rows = tuple(
        (
            name,
            basis,
            line,
            math.sqrt(sums[f"{line}_sq"]),
            sums[f"{line}_dot"],
            _share(sums, [line]),
        )
        for name, sums in joined.items()
        for basis, lines in _BASES.items()
        for line in lines
    )
    columns = (
        Column(by, by),
        Column("basis", "basis"),
        Column("line", "line"),
        Column("norm", "norm", "number"),
        Column("dot", "<line, delta>", "number"),
        Column("share", "share", "share"),
    )
    return Table("lines", "Every line", columns, rows, in_text=False)


def _notes(records: Records, matched: Matched, span: Span) -> list[str]:
    notes = [
        "accounting: the lines add up to the change; they are not causal effects",
        "norms of several steps and groups are roots of summed squares",
    ]
    if span.start == span.stop:
        notes.append("accrual is not meant for single steps, where the inventory dominates")
    if not tiling(records, span):
        notes.append("displacement was not settled for these steps: its owners are not shown")
    return [*notes, *standing_notes(records, matched, span)]
