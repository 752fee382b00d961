"""Executed change against estimates: a bar from zero for truth, a ring for each estimate."""

from __future__ import annotations

from typing import Final

from gradledger.report.canvas import (
    WIDTH,
    amount,
    box,
    columns_of,
    line,
    percent,
    rule,
    sheet,
    ticks,
    words,
)
from gradledger.report.evidence import Chart
from gradledger.report.markup import Markup, tag

_LEFT, _RIGHT, _TALL, _GAP = 150.0, 14.0, 13.0, 7.0
_RING: Final = 4.2
#: Room beyond the largest value, so that no ring meets a label.
_ROOM: Final = 1.04


def draw_pairs(chart: Chart, number: int) -> Markup:
    """Return the drawing of ``chart``: one line per row, its first column executed."""
    places = columns_of(chart.grid, chart.columns)
    rows = [(str(row[0]), [row[place] for place in places]) for row in chart.grid.rows]
    values = [amount(value) for _, cells in rows for value in cells]
    low, high = _ROOM * min([0.0, *values]), _ROOM * max([1e-9, *values])
    scale = (WIDTH - _LEFT - _RIGHT) / (high - low)
    top, bottom = 22.0, 26.0 + (_TALL + _GAP) * len(rows)
    names = [chart.grid.fields[place].header for place in places]
    marks = [box(0, 2, 10, 10, "s1"), words(15, 11, names[0])]
    if len(names) > 1:
        marks += [_ring(190, 7, ", ".join(names[1:])), words(200, 11, ", ".join(names[1:]))]
    for tick in ticks(low, high, 6):
        x = _LEFT + (tick - low) * scale
        marks += [
            line(x, top, x, bottom, rule(tick)),
            words(x, bottom + 13, percent(tick), "muted", "middle"),
        ]
    for place, (label, cells) in enumerate(rows):
        y = top + 4 + (_TALL + _GAP) * place
        executed, zero = amount(cells[0]), _LEFT - low * scale
        wide = abs(executed) * scale
        marks.append(words(_LEFT - 8, y + _TALL / 2 + 4, label, "", "end"))
        tip = f"{label}, {names[0]}: {percent(executed)}"
        marks.append(box(zero if executed >= 0 else zero - wide, y, wide, _TALL, "s1", tip))
        for name, value in zip(names[1:], cells[1:], strict=True):
            if value is not None:
                x = _LEFT + (amount(value) - low) * scale
                marks.append(_ring(x, y + _TALL / 2, f"{label}, {name}: {percent(amount(value))}"))
    return sheet(chart, number, bottom + 20, marks)


def _ring(x: float, y: float, tip: str) -> Markup:
    return tag(
        "circle", tag("title", tip), cx=f"{x:.2f}", cy=f"{y:.2f}", r=str(_RING), class_="ring"
    )
