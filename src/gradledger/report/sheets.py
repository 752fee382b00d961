"""Tables of the page: every column aligned, its unit above it, its origin one step away."""

from __future__ import annotations

import math
from typing import Final

from gradledger.report.appendix import Notes
from gradledger.report.evidence import Basis, Chart, Field, Grid, Value
from gradledger.report.markup import Markup, breakable, join, tag
from gradledger.report.numerals import ABSENT, numerals

#: Columns by block that a table of the page has room for.
MAX_BLOCKS: Final = 10

#: Tables of up to this many rows are not broken over pages of paper.
_SHORT: Final = 12

_PREFIX: Final = "block_"
_SILENT_UNITS: Final = frozenset({"1", "text", "hex"})


def sheet_of(grid: Grid, notes: Notes) -> Markup:
    """Return a table, cut to what a page shows: the rest of its rows is gathered in one."""
    places = _kept(grid)
    hidden = len(grid.fields) - len(places)
    rows = [tuple(row[place] for place in places) for row in grid.rows]
    fields = [grid.fields[place] for place in places]
    shown, rest = rows[: grid.shown], rows[grid.shown :]
    lines: list[tuple[str, tuple[Value, ...]]] = [("", row) for row in shown]
    if rest:
        lines.append(("rest", _gathered(fields, rest)))
    if grid.total is not None and rows:
        lines.append(("total", tuple(grid.total[place] for place in places)))
    columns = [
        numerals([row[place] for _, row in lines], field.kind) for place, field in enumerate(fields)
    ]
    body = [
        tag("tr", *(_cell(column[n], field, kind)
                    for column, field in zip(columns, fields, strict=True)),
            class_=kind or None)
        for n, (kind, _) in enumerate(lines)
    ]  # fmt: skip
    remarks = [grid.note] if grid.note else []
    if hidden:
        remarks.append(f"{hidden} columns by block are in the JSON form of this report.")
    table = tag(
        "table",
        tag("caption", grid.title),
        tag("thead", tag("tr", *_heads(fields, notes))),
        tag("tbody", *body),
        class_="short" if len(lines) <= _SHORT else None,
    )
    return join([
        tag("div", table, class_="scroll") if rows else tag("h3", grid.title),
        tag("p", " ".join(remarks), class_="note") if remarks else None,
    ])  # fmt: skip


def crossed(chart: Chart) -> Grid | None:
    """Return the table of a chart turned over, where its blocks are too many for columns."""
    places = [place for place, field in enumerate(chart.grid.fields) if field.name in chart.columns]
    if len(places) <= MAX_BLOCKS:
        return None
    grid = chart.grid
    basis = grid.fields[places[0]].basis
    rows = grid.rows[: MAX_BLOCKS - 1]
    fields = (
        Field("block", "block"),
        *(Field(f"key_{n}", str(row[0]), "share", basis) for n, row in enumerate(rows)),
    )
    cells = tuple((grid.fields[place].header, *(row[place] for row in rows)) for place in places)
    return Grid(
        f"{grid.name}_by_block", f"{grid.title}: one row per block", fields, cells, shown=len(cells)
    )


def _kept(grid: Grid) -> list[int]:
    blocks = [place for place, field in enumerate(grid.fields) if field.name.startswith(_PREFIX)]
    dropped = set(blocks) if len(blocks) > MAX_BLOCKS else set()
    return [place for place in range(len(grid.fields)) if place not in dropped]


def _gathered(fields: list[Field], rows: list[tuple[Value, ...]]) -> tuple[Value, ...]:
    cells: list[Value] = [f"{len(rows)} more"]
    for place, field in enumerate(fields[1:], 1):
        values = [row[place] for row in rows]
        if not field.adds:
            cells.append(None)
            continue
        cells.append(math.fsum(float(v) for v in values if isinstance(v, int | float)))
    return tuple(cells)


def _heads(fields: list[Field], notes: Notes) -> list[Markup]:
    heads, before = [], None
    for field in fields:
        mark = notes.mark(field.basis) if field.basis and field.basis != before else None
        before = field.basis
        unit = _unit(field, field.basis)
        small = tag("small", f" [{unit}]") if unit else None
        heads.append(
            tag("th", breakable(field.header), small, mark, scope="col",
                class_="w" if field.kind == "text" else None)
        )  # fmt: skip
    return heads


def _unit(field: Field, basis: Basis | None) -> str:
    if field.kind == "share":
        return "%"
    if basis is None or basis.unit in _SILENT_UNITS or basis.unit in field.header:
        return ""
    return basis.unit


def _cell(text: str, field: Field, row: str) -> Markup:
    """Return one cell; below the rows what does not add up is left empty."""
    is_empty = text == ABSENT and (row or field.kind == "text")
    if field.kind == "text":
        return tag("td", "" if is_empty else breakable(text), class_="w")
    return tag("td", "" if is_empty else text, class_="v")
