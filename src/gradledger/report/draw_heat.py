"""Heat map: rows are keys, columns blocks from input to output, ink is the size of a share."""

from __future__ import annotations

from gradledger.report.canvas import WIDTH, columns_of, gathered, sheet, words
from gradledger.report.evidence import Chart
from gradledger.report.markup import Markup, tag
from gradledger.report.numerals import numerals

_LEFT, _ROWS, _TALL = 150.0, 14, 26.0
#: Cells narrower than this carry no figure, and their blocks are named at both ends only.
_READABLE = 40.0
#: Ink above which figures are set in the colour of the paper.
_DARK = 0.6
#: Cells wider than this have a gap between them.
_SEPARATE = 8.0


def draw_heat(chart: Chart, number: int) -> Markup:
    """Return the drawing of ``chart``."""
    places = columns_of(chart.grid, chart.columns)
    blocks = [chart.grid.fields[place].header for place in places]
    rows = gathered(chart.grid, places, _ROWS)
    wide = min(120.0, (WIDTH - _LEFT) / max(1, len(blocks)))
    largest = max((abs(value) for _, cells in rows for value in cells), default=0.0) or 1.0
    marks = _heads(blocks, wide)
    top = 22.0
    shown = numerals([value for _, cells in rows for value in cells], "share")
    for n, (label, cells) in enumerate(rows):
        y = top + _TALL * n
        marks.append(words(_LEFT - 8, y + _TALL / 2 + 4, label, "", "end"))
        for m, value in enumerate(cells):
            figure = shown[n * len(cells) + m]
            marks.append(_cell(m, y, wide, value / largest, f"{label}, {blocks[m]}: {figure} %"))
            if wide >= _READABLE:
                x = _LEFT + wide * m + wide / 2
                kind = "on" if abs(value) / largest > _DARK else ""
                marks.append(words(x, y + _TALL / 2 + 4, figure, kind, "middle"))
    bottom = top + _TALL * len(rows)
    note = "percent of each block's change; hollow cells moved against it"
    marks.append(words(_LEFT, bottom + 14, note, "note"))
    return sheet(chart, number, bottom + 20, marks)


def _heads(blocks: list[str], wide: float) -> list[Markup]:
    if wide < _READABLE:
        return [
            words(_LEFT, 14, f"{blocks[0]} (input)", "muted"),
            words(_LEFT + wide * len(blocks), 14, f"{blocks[-1]} (output)", "muted", "end"),
        ]
    return [
        words(_LEFT + wide * n + wide / 2, 14, _short(block, wide), "muted", "middle")
        for n, block in enumerate(blocks)
    ]


def _short(block: str, wide: float) -> str:
    """Keep the end of a dotted name, which tells blocks apart."""
    room = max(3, int(wide / 6))
    return block if len(block) <= room else "\N{HORIZONTAL ELLIPSIS}" + block[1 - room :]


def _cell(place: int, y: float, wide: float, ink: float, tip: str) -> Markup:
    gap = 1.0 if wide > _SEPARATE else 0.0
    return tag(
        "rect",
        tag("title", tip),
        x=f"{_LEFT + wide * place:.2f}",
        y=f"{y:.2f}",
        width=f"{wide - gap:.2f}",
        height=f"{_TALL - 1:.2f}",
        class_="hot" if ink >= 0 else "cold",
        fill_opacity=f"{0.04 + 0.96 * abs(ink):.3f}" if ink > 0 else "0",
    )
