"""Stacked bars: one per block, parts by key, against the change to the left of zero."""

from __future__ import annotations

from gradledger.report.canvas import (
    SHADES,
    WIDTH,
    box,
    columns_of,
    gathered,
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

_LEFT, _RIGHT, _GAP = 150.0, 12.0, 5.0
#: With many blocks bars get thinner.
_TALL, _THIN, _MANY = 18.0, 9.0, 24


def draw_bars(chart: Chart, number: int) -> Markup:
    """Return the drawing of ``chart``."""
    places = columns_of(chart.grid, chart.columns)
    blocks = [chart.grid.fields[place].header for place in places]
    series = gathered(chart.grid, places, SHADES - 1)
    key, top = legend([label for label, _ in series], 0.0)
    sums = [_ends([cells[n] for _, cells in series]) for n in range(len(blocks))]
    low = min([0.0, *(ends[0] for ends in sums)])
    high = max([1e-9, *(ends[1] for ends in sums)])
    tall = _TALL if len(blocks) <= _MANY else _THIN
    bottom = top + 4 + (tall + _GAP) * len(blocks)
    scale = (WIDTH - _LEFT - _RIGHT) / (high - low)
    marks = [key]
    for tick in ticks(low, high, 6):
        x = _LEFT + (tick - low) * scale
        marks += [
            line(x, top, x, bottom, rule(tick)),
            words(x, bottom + 13, percent(tick), "muted", "middle"),
        ]
    for n, block in enumerate(blocks):
        y = top + 4 + (tall + _GAP) * n
        marks.append(words(_LEFT - 8, y + tall / 2 + 4, block, "", "end"))
        right = left = _LEFT - low * scale
        for place, (label, cells) in enumerate(series):
            wide = abs(cells[n]) * scale
            x = right if cells[n] >= 0 else left - wide
            tip = f"{block}, {label}: {percent(cells[n])}"
            marks.append(box(x, y, wide, tall, shade(place), tip))
            if cells[n] >= 0:
                right += wide
            else:
                left -= wide
    return sheet(chart, number, bottom + 20, marks)


def _ends(values: list[float]) -> tuple[float, float]:
    return sum(value for value in values if value < 0), sum(value for value in values if value > 0)
