"""Timeline: whose visits moved the parameters, window of steps by window of steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.cells import (
    OTHERS,
    Cell,
    by_window,
    heads,
    hidden_note,
    leading,
    wholes_by_window,
)
from gradledger.query.intervals import SETTLED
from gradledger.query.measures import MEASURE_WORDS, MEASURES, Scope, choose, line_sums
from gradledger.query.names import Span, allowed, match_groups, match_steps
from gradledger.query.records import Records
from gradledger.query.selection import key_of
from gradledger.query.standing import standing_notes

_WHOLE: Final[dict[str, str]] = {
    "energy": "shares of a window are of that window's own sum of |delta|^2",
    "displacement": "shares are of the whole interval's |D|^2, so a key's windows add up to its "
    "share in trace",
    "frozen": "shares are of the whole interval's |D|^2, so a key's windows add up to its share in "
    "trace",
    "norm": "norms have no whole: a share is the part of the window's sum of norms",
}


def timeline(
    records: Records,
    group: str | Sequence[str] | None = None,
    *,
    by: str = "class",
    start: int | None = None,
    stop: int | None = None,
    measure: str | None = None,
    windows: int = 20,
    top: int = 7,
) -> Answer:
    """Return the contribution of each key in each window of steps.

    Args:
        records: The run.
        group: Names, prefixes or globs of groups or blocks; all parameters by default.
        by: ``class``, ``rule``, ``example``, any other key of a decision or a metadata column.
        start: First step, included.
        stop: Last step, included.
        measure: As in ``trace``.
        windows: Windows at most; each has the same number of steps, the last maybe fewer.
        top: Keys that stand alone; the rest is joined as ``others``.

    Returns:
        Tables ``cells`` (one row per window and key, in Arrow and JSON) and ``shares`` (one row
        per window, one column per key).

    Raises:
        QueryError: Q104 group, Q105 column, Q106 steps, Q107 measure, Q110 argument.
    """
    if measure is not None:
        allowed("measure", measure, MEASURES)
    at_least_one(windows=windows, top=top)
    matched, span = match_groups(records, group), match_steps(records, start, stop)
    key = key_of(records, by)
    scope, chosen = choose(records, matched, span, measure)
    width = -(-(span.stop - span.start + 1) // windows)
    count = -(-(span.stop - span.start + 1) // width)
    cells = by_window(scope, key, width)
    kept = leading(cells, top)
    joined = _joined(cells, kept)
    wholes = _wholes(scope, cells, width, count)
    spans = [
        Span(span.start + n * width, min(span.start + (n + 1) * width - 1, span.stop))
        for n in range(count)
    ]
    names = [*kept, *([OTHERS] if len({name for _, name in cells}) > len(kept) else [])]
    return Answer(
        question="timeline",
        title=f"Timeline: what moved {matched} in {span}, by {by}",
        kind="accounting",
        measure=scope.measure,
        facts={
            "measure": MEASURE_WORDS[scope.measure],
            "windows": f"{count} of {width} step{'s' if width != 1 else ''}",
            "keys": len({name for _, name in cells}),
        },
        tables=(
            _cells(by, scope, spans, names, joined, wholes),
            _shares(by, scope, spans, names, joined, wholes),
        ),
        notes=(
            "accounting: adds up exactly, but is not a causal effect",
            _WHOLE[scope.measure],
            *([chosen] if chosen else []),
            *standing_notes(records, matched, span),
            *hidden_note(names),
        ),
    )


def at_least_one(**counts: int) -> None:
    """Refuse counts below one.

    Raises:
        QueryError: Q110.
    """
    for name, value in counts.items():
        if value < 1:
            raise QueryError("Q110", observed=f"{name}={value}", expected=f"{name} >= 1")


def _joined(
    cells: Mapping[tuple[int, Any], Cell], kept: Sequence[Any]
) -> dict[tuple[int, Any], Cell]:
    """Join the keys that are not kept."""
    parts: dict[tuple[int, Any], list[Cell]] = {}
    for (window, name), cell in cells.items():
        parts.setdefault((window, name if name in kept else OTHERS), []).append(cell)
    return {
        place: Cell(math.fsum(c.value for c in some), sum(c.visits or 0 for c in some))
        for place, some in parts.items()
    }


def _wholes(
    scope: Scope, cells: Mapping[tuple[int, Any], Cell], width: int, count: int
) -> dict[int, float]:
    """Return the denominator of each window."""
    if scope.measure == "energy":
        return wholes_by_window(scope, width)
    if scope.measure in SETTLED:
        return dict.fromkeys(range(count), line_sums(scope)[0])
    return {
        window: math.fsum(cell.value for (place, _), cell in cells.items() if place == window)
        for window in range(count)
    }


def _share(
    joined: Mapping[tuple[int, Any], Cell], wholes: Mapping[int, float], window: int, name: Any
) -> float | None:
    whole = wholes.get(window)
    cell = joined.get((window, name))
    if not whole:
        return None
    return cell.value / whole if cell else 0.0


def _cells(
    by: str,
    scope: Scope,
    spans: Sequence[Span],
    names: Sequence[Any],
    joined: Mapping[tuple[int, Any], Cell],
    wholes: Mapping[int, float],
) -> Table:
    rows = []
    for window, span in enumerate(spans):
        for name in names:
            cell = joined.get((window, name), Cell(0.0, 0))
            share = _share(joined, wholes, window, name)
            rows.append((span.start, span.stop, name, cell.value, share, cell.visits))
    columns = (
        Column("first_step", "first", "integer"),
        Column("last_step", "last", "integer"),
        Column(by, by),
        Column("value", "inner product" if scope.measure != "norm" else "norm sum", "number"),
        Column("share", "share", "share"),
        Column("visits", "visits", "integer"),
    )
    return Table("cells", f"By window and {by}", columns, tuple(rows), in_text=False)


def _shares(
    by: str,
    scope: Scope,
    spans: Sequence[Span],
    names: Sequence[Any],
    joined: Mapping[tuple[int, Any], Cell],
    wholes: Mapping[int, float],
) -> Table:
    headers, fitting = heads(names)
    rows: list[tuple[Any, ...]] = []
    for window, span in enumerate(spans):
        shares = [_share(joined, wholes, window, name) for name in names]
        known = [share for share in shares if share is not None]
        total = math.fsum(known) if known else None
        rest = 1.0 - total if total is not None and scope.measure == "energy" else None
        rows.append((f"{span.start} to {span.stop}", *shares, total, rest))
    if scope.measure in SETTLED:
        sums = [math.fsum(row[place] or 0.0 for row in rows) for place in range(1, len(names) + 2)]
        rows.append(("total", *sums, None))
    columns = (
        Column("steps", "steps"),
        *(
            Column(f"{by}={name}", header, "share", in_text=place < fitting)
            for place, (name, header) in enumerate(zip(names, headers, strict=True))
        ),
        Column("visits", "all visits", "share"),
        Column("rest", "other lines", "share", in_text=scope.measure == "energy"),
    )
    return Table("shares", f"Shares by {by}", columns, tuple(rows))
