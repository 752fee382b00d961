"""Timeline: stacked columns over steps, parts by key, against the change below zero."""

from __future__ import annotations

from gradledger.report.canvas import (
    WIDTH,
    amount,
    box,
    columns_of,
    legend,
    line,
    percent,
    rule,
    shade,
    sheet,
    ticks,
    words,
)
from gradledger.report.evidence import Chart
from gradledger.report.markup import Markup

_LEFT, _RIGHT, _TALL = 52.0, 6.0, 150.0


def draw_timeline(chart: Chart, number: int) -> Markup:
    """Return the drawing of ``chart``."""
    grid = chart.grid
    places = columns_of(grid, chart.columns)
    key, top = legend([grid.fields[place].header for place in places], 0.0)
    columns = [[amount(row[place]) for place in places] for row in grid.rows]
    low = min([0.0, *(sum(v for v in cells if v < 0) for cells in columns)])
    high = max([1e-9, *(sum(v for v in cells if v > 0) for cells in columns)])
    bottom = top + 6 + _TALL
    scale = _TALL / (high - low)
    zero = bottom + low * scale
    is_share = grid.fields[places[0]].kind == "share" if places else False
    marks = [key]
    for tick in ticks(low, high, 4):
        y = zero - tick * scale
        label = percent(tick) if is_share else f"{tick:g}"
        marks += [
            line(_LEFT, y, WIDTH - _RIGHT, y, rule(tick)),
            words(_LEFT - 6, y + 4, label, "muted", "end"),
        ]
    wide = (WIDTH - _LEFT - _RIGHT) / max(1, len(columns))
    for n, cells in enumerate(columns):
        x = _LEFT + wide * n
        up = down = zero
        for place, value in enumerate(cells):
            tall = abs(value) * scale
            y = up - tall if value >= 0 else down
            what = grid.fields[places[place]].header
            shown = percent(value) if is_share else f"{value:g}"
            tip = f"steps {grid.rows[n][0]}, {what}: {shown}"
            marks.append(box(x + 0.75, y, wide - 1.5, tall, shade(place), tip))
            if value >= 0:
                up -= tall
            else:
                down += tall
    if columns:
        first, last = str(grid.rows[0][0]), str(grid.rows[-1][0])
        marks += [
            words(_LEFT, bottom + 16, f"step {first}", "muted"),
            words(WIDTH - _RIGHT, bottom + 16, f"step {last}", "muted", "end"),
        ]
    return sheet(chart, number, bottom + 22, marks)
