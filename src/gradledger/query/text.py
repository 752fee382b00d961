"""Answers as text: aligned figures, units in the header, notes below."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from gradledger.query.inert import inert

if TYPE_CHECKING:
    from gradledger.query.answer import Answer, Column, Table

#: Longer tables are shown by their first and last rows; Arrow and JSON always carry all of them.
MAX_ROWS = 60
_ABSENT = "-"
_CELL = 48
_NARROWEST = 14
_INDENT = 2

#: Figures outside are shown with an exponent.
_SMALL, _LARGE = 1e-3, 1e6


def to_text(answer: Answer, width: int = 100) -> str:
    """Return ``answer`` as plain text without colour or trailing blanks.

    Args:
        answer: What to show.
        width: Columns of the page.
    """
    page = io.StringIO()
    console = Console(
        file=page, width=width, color_system=None, force_terminal=False, legacy_windows=False
    )
    for item in renderables(answer, width):
        console.print(item)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def renderables(answer: Answer, width: int = 100) -> Iterator[RenderableType]:
    """Yield the title, facts, tables and notes of ``answer`` as rich objects without markup."""
    yield Text(inert(answer.title, 400), style="bold")
    if answer.facts:
        yield Text()
        yield _facts(answer.facts)
    for table in answer.tables:
        if table.in_text:
            yield Text()
            yield Text(inert(table.title, 400), style="bold")
            yield (
                _table(table, width)
                if table.rows
                else Padding(Text("nothing", style="dim"), (0, 2))
            )
    if answer.notes:
        yield Text()
        for note in answer.notes:
            yield _note(note)


def figures(values: Sequence[Any], kind: str) -> list[str]:
    """Return the cells of one column, formatted alike so that decimal points line up.

    Args:
        values: Raw cells, ``None`` where there is none.
        kind: Kind of the column, see ``Column``.
    """
    if kind == "flag":
        return [_ABSENT if value is None else ("yes" if value else "no") for value in values]
    if kind == "integer":
        return [_ABSENT if value is None else f"{value:,}".replace(",", " ") for value in values]
    if kind not in {"share", "number"}:
        return [_ABSENT if value is None else inert(value) for value in values]
    finite = [abs(v) for v in values if v is not None and math.isfinite(v)]
    form = _form(max(finite, default=0.0), min((v for v in finite if v), default=0.0), kind)
    return [_ABSENT if value is None else format(value, form) for value in values]


def _form(largest: float, smallest: float, kind: str) -> str:
    sign = "+" if kind == "share" else ""
    if kind == "share" and (largest == 0.0 or largest >= _SMALL):
        return f"{sign}.4f"
    is_wide = kind == "number" and 0.0 < smallest < _SMALL
    if largest >= _LARGE or 0.0 < largest < _SMALL or is_wide:
        return f"{sign}.2e"
    whole = len(str(int(largest)))
    return f"{sign}.{max(0, 4 - whole)}f"


def _table(table: Table, width: int) -> RenderableType:
    places = [place for place, column in enumerate(table.columns) if column.in_text]
    columns = [table.columns[place] for place in places]
    rows = _cut(table.rows)
    cells = [
        figures([row[place] for row in rows if row is not None], column.kind)
        for place, column in zip(places, columns, strict=True)
    ]
    grid = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    widths = _widths(columns, cells, width)
    dropped = _too_many(columns, widths, width)
    left_out = [inert(columns[place].header, _CELL) for place in dropped]
    kept = [place for place in range(len(columns)) if place not in dropped]
    columns, cells = [columns[place] for place in kept], [cells[place] for place in kept]
    widths = _widths(columns, cells, width)
    for column, wide in zip(columns, widths, strict=True):
        grid.add_column(
            Text(inert(column.header, _CELL)),
            justify="left" if column.is_words else "right",
            overflow="fold" if column.wraps else "ellipsis",
            no_wrap=not column.wraps,
            width=wide,
        )
    number = 0
    for row in rows:
        if row is None:
            grid.add_row(Text("...", style="dim"))
            continue
        shown = zip(columns, cells, widths, strict=True)
        grid.add_row(*(Text(c[number] if k.wraps else _crop(c[number], w)) for k, c, w in shown))
        number += 1
    below = []
    if len(rows) != len(table.rows):
        below.append(f"{len(table.rows) - MAX_ROWS + 1} more rows in JSON and Arrow")
    if left_out:
        below.append(f"not on a page this narrow: {', '.join(left_out)}")
    parts: list[RenderableType] = [grid, *(Text(line, style="dim") for line in below)]
    return Padding(Group(*parts), (0, 0, 0, _INDENT))


def _too_many(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Return the last columns that must go, words first: a figure that is cut says another one."""
    excess = _INDENT + sum(widths) + 2 * len(widths) - width
    dropped: list[int] = []
    for is_words in (True, False):
        for place in reversed(range(1, len(columns))):
            if excess > 0 and columns[place].is_words is is_words:
                dropped.append(place)
                excess -= widths[place] + 2
    return sorted(dropped)


def _crop(cell: str, width: int) -> str:
    """Cut the middle out of a long cell: paths and names differ at both ends."""
    if cell_len(cell) <= width or width < _NARROWEST:
        return cell
    head = (width - 1) // 3
    tail = cell
    while cell_len(tail) > width - 1 - head:
        tail = tail[1:]
    return f"{set_cell_size(cell, head)}\N{HORIZONTAL ELLIPSIS}{tail}"


def _widths(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return column widths: figures keep theirs, the widest columns of words give way."""
    widths = [
        max([cell_len(inert(column.header, _CELL)), *(cell_len(cell) for cell in texts)])
        for column, texts in zip(columns, cells, strict=True)
    ]
    words = [place for place, column in enumerate(columns) if column.is_words]
    for place in words:
        if not columns[place].wraps:
            widths[place] = min(widths[place], _CELL)
    excess = _INDENT + sum(widths) + 2 * len(widths) - width
    while excess > 0 and words:
        widest = max(words, key=lambda place: widths[place])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _cut(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...] | None]:
    if len(rows) <= MAX_ROWS:
        return list(rows)
    head = MAX_ROWS // 2
    return [*rows[:head], None, *rows[len(rows) - (MAX_ROWS - head - 1) :]]


def _facts(facts: Any) -> RenderableType:
    grid = RichTable.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        grid.add_row(Text(f"  {inert(name, 40)}", style="dim"), Text(fact(value)))
    return grid


def fact(value: Any) -> str:
    """Return one fact in words: numbers to six digits, several values with commas between."""
    if value is None:
        return _ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        shown = ", ".join(f"{inert(k, 40)} {fact(v)}" for k, v in value.items())
        return inert(shown, 400) if shown else _ABSENT
    if isinstance(value, list | tuple):
        return inert(", ".join(fact(item) for item in value), 400) if value else _ABSENT
    return inert(value, 400)


def _note(note: str) -> RenderableType:
    grid = RichTable.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(" *", style="dim"), Text(inert(note, 600), style="dim"))
    return grid
