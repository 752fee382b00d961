"""From answers of the ledger to what pages show: aligned figures, links, marks, paging.

Nothing is computed here: cells are the answer's, formatted as on the command line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gradledger.query import ESTIMATORS, Answer, Column, Table, inert
from gradledger.query.text import fact, figures
from gradledger.web.page import MARKS, Cell, Chart, Fact, Grid, Head, Section

#: Rows of a table on one page.
PAGE_ROWS: Final = 50

#: Columns of a what-if whose figures are of another kind than the answer.
_OTHER_MARKS: Final[dict[tuple[str, str], str]] = {
    **{("whatif", name): "estimated" for name in ESTIMATORS},
    ("whatif", "recorded"): "exact",
    ("whatif", "booked"): "exact",
}

#: Rows of these names sum up the others; they get no bar.
_TOTALS: Final = frozenset({"total"})

#: Words of verdicts that are good, bad, or need a look.
_TONES: Final[dict[str, str]] = {
    "admit": "good",
    "deny": "bad",
    "quarantine": "warn",
    "defer": "warn",
    "balanced": "good",
    "unbalanced": "bad",
    "not finite": "bad",
    "as recorded": "good",
}

#: Returns where a cell leads: column, value, row by name -> URL or nothing.
Linker = Callable[[str, Any, Mapping[str, Any]], str | None]


@dataclass(frozen=True)
class Look:
    """How a table is shown.

    Attributes:
        link: Where cells lead.
        bars: Columns with a bar behind the figure.
        only: Columns that are shown, in this order; empty for those that a wide page shows.
        hide: Columns that are not shown.
        also: Columns that are shown though pages of text leave them out.
        page: Number of the page, from 1; 0 shows all rows.
        open_ended: Whether there may be rows behind those that were asked for.
        paged: Returns the URL of another page.
        csv: URL of the whole table.
        rename: Other headers by column.
    """

    link: Linker | None = None
    bars: Collection[str] = ()
    only: Sequence[str] = ()
    hide: Collection[str] = ()
    also: Collection[str] = ()
    page: int = 0
    open_ended: bool = False
    paged: Callable[[int], str] | None = None
    csv: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)

    def is_open_ended(self, count: int) -> bool:
        """Whether a full page may have another behind it."""
        return self.open_ended and count == PAGE_ROWS


def mark_of(answer: Answer) -> str:
    """Return the mark of an answer's figures."""
    return MARKS[answer.kind]


def section(
    answer: Answer,
    table: str | None = None,
    *,
    title: str | None = None,
    look: Look | None = None,
    chart: Chart | None = None,
    notes: bool = False,
    **parts: Any,
) -> Section:
    """Return a section for one table of an answer.

    Args:
        answer: The answer.
        table: Name of the table; the main one by default.
        title: Heading; the table's own by default.
        look: How the table is shown.
        chart: How it is drawn.
        notes: Whether the answer's notes stand below.
        **parts: Further attributes of the section.
    """
    chosen = answer.table(table)
    return Section(
        name=parts.pop("name", chosen.name),
        title=inert(title or chosen.title, 300),
        mark=parts.pop("mark", mark_of(answer)),
        grid=grid(answer, chosen, look or Look()),
        chart=chart,
        notes=tuple(inert(note, 600) for note in answer.notes) if notes else (),
        **parts,
    )


def grid(answer: Answer, table: Table, look: Look) -> Grid:
    """Return a table as it is shown."""
    columns = _chosen(table, look)
    first, rows = 0, table.rows
    if look.page:
        first = (look.page - 1) * PAGE_ROWS
        rows = table.rows[first : first + PAGE_ROWS]
    names = [column.name for column in table.columns]
    places = [names.index(column.name) for column in columns]
    texts = [
        figures([row[place] for row in rows], column.kind)
        for place, column in zip(places, columns, strict=True)
    ]
    reach = {name: _reach(rows, names.index(name)) for name in look.bars if name in names}
    shown = []
    for number, row in enumerate(rows):
        named = dict(zip(names, row, strict=True))
        shown.append(
            tuple(
                _cell(look, column, named, texts[spot][number], reach)
                for spot, column in enumerate(columns)
            )
        )
    heads = tuple(
        Head(
            column.name,
            inert(look.rename.get(column.name, column.header)),
            column.is_words,
            column.wraps,
            _OTHER_MARKS.get((answer.question, column.name), ""),
        )
        for column in columns
    )
    result = Grid(heads, tuple(shown), len(table.rows), look.csv)
    return _paged(result, look, first, len(rows)) if look.page and look.paged else result


def facts(answer: Answer, only: Sequence[str] = (), hide: Collection[str] = ()) -> tuple[Fact, ...]:
    """Return the facts of an answer, in their order or in the one asked for."""
    names = only or [name for name in answer.facts if name not in hide]
    return tuple(
        Fact(inert(name, 60), inert(fact(answer.facts[name]), 500))
        for name in names
        if name in answer.facts
    )


def _chosen(table: Table, look: Look) -> list[Column]:
    by_name = {column.name: column for column in table.columns}
    if look.only:
        return [by_name[name] for name in look.only if name in by_name]
    return [
        column
        for column in table.columns
        if column.name not in look.hide
        and (column.in_text or not column.is_words or column.name in look.also)
    ]


def _reach(rows: Sequence[tuple[Any, ...]], place: int) -> tuple[float, bool]:
    """Return the largest size in a column, and whether both signs occur."""
    found = [
        row[place]
        for row in rows
        if isinstance(row[place], int | float)
        and math.isfinite(row[place])
        and row[0] not in _TOTALS
    ]
    largest = max((abs(value) for value in found), default=0.0)
    return largest, min(found, default=0.0) < 0 < max(found, default=0.0)


def _cell(
    look: Look,
    column: Column,
    row: Mapping[str, Any],
    text: str,
    reach: Mapping[str, tuple[float, bool]],
) -> Cell:
    value = row[column.name]
    href = look.link(column.name, value, row) if look.link else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    cell = Cell(text, href=href)
    if is_number:
        cell = replace(cell, value=repr(value))
        widest, both = reach.get(column.name, (0.0, False))
        if widest and math.isfinite(value) and next(iter(row.values())) not in _TOTALS:
            cell = replace(cell, bar=_bar(value / widest, both=both))
    elif isinstance(value, str):
        cell = replace(cell, tone=_TONES.get(value, ""))
    return cell


def _bar(part: float, *, both: bool) -> tuple[float, float, bool, bool]:
    """Return a bar in a drawing that is 100 wide; zero in its middle where both signs occur."""
    width = round((50.0 if both else 100.0) * min(1.0, abs(part)), 2)
    start = 0.0 if not both else 50.0 if part >= 0 else round(50.0 - width, 2)
    return start, width, both, part < 0


def _paged(found: Grid, look: Look, first: int, count: int) -> Grid:
    turn = look.paged
    if turn is None:
        return found
    last = first + count
    return replace(
        found,
        place=f"{first + 1 if count else 0} to {last}"
        + ("" if look.open_ended else f" of {found.num_rows}"),
        before=turn(look.page - 1) if look.page > 1 else "",
        after=turn(look.page + 1) if last < found.num_rows or look.is_open_ended(count) else "",
    )
