"""Balance: the largest residual and capture gap of each step, on a logarithmic scale."""

from __future__ import annotations

import math

from gradledger.report.canvas import WIDTH, amount, columns_of, line, sheet, words
from gradledger.report.evidence import Chart
from gradledger.report.markup import Markup, tag

_LEFT, _RIGHT, _TOP, _TALL = 52.0, 6.0, 24.0, 130.0
#: Lowest decade that is drawn; below it a ratio is as good as nothing.
_FLOOR = -12
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def draw_balance(chart: Chart, number: int) -> Markup:
    """Return the drawing of ``chart``: discs, rings, and crosses where a step has a fault."""
    residual, gap, faults = columns_of(chart.grid, chart.columns)
    rows = chart.grid.rows
    values = [amount(row[place]) for row in rows for place in (residual, gap)]
    powers = [math.log10(value) for value in values if value > 0]
    low = max(_FLOOR, math.floor(min(powers, default=-8.0)))
    high = max(low + 1, math.ceil(max(powers, default=-6.0)))
    bottom = _TOP + _TALL
    marks = _frame(low, high, bottom)
    wide = (WIDTH - _LEFT - _RIGHT) / max(1, len(rows))
    for n, row in enumerate(rows):
        x = _LEFT + wide * (n + 0.5)
        for place, kind in ((gap, "ring"), (residual, "disc")):
            value = amount(row[place])
            power = max(low, math.log10(value)) if value > 0 else float(low)
            y = bottom - (power - low) / (high - low) * _TALL
            tip = f"steps {row[0]}, {chart.grid.fields[place].header}: {value:.2e}"
            marks.append(
                tag("circle", tag("title", tip), cx=f"{x:.2f}", cy=f"{y:.2f}", r="2.6",
                    class_=kind)
            )  # fmt: skip
        if amount(row[faults]):
            marks += [
                line(x - 4, _TOP, x + 4, _TOP + 8, "fault"),
                line(x - 4, _TOP + 8, x + 4, _TOP, "fault"),
            ]
    if rows:
        marks += [
            words(_LEFT, bottom + 16, f"step {rows[0][0]}", "muted"),
            words(WIDTH - _RIGHT, bottom + 16, f"step {rows[-1][0]}", "muted", "end"),
        ]
    return sheet(chart, number, bottom + 22, marks)


def _frame(low: int, high: int, bottom: float) -> list[Markup]:
    marks = [
        tag("circle", cx="57", cy="6", r="2.6", class_="disc"),
        words(65, 10, "residual"),
        tag("circle", cx="131", cy="6", r="2.6", class_="ring"),
        words(139, 10, "gap"),
    ]
    every = max(1, -(-(high - low) // 6))
    for power in range(low, high + 1, every):
        y = bottom - (power - low) / (high - low) * _TALL
        label = "10" + str(power).translate(_SUPERSCRIPT)
        marks += [
            line(_LEFT, y, WIDTH - _RIGHT, y, "axis" if power == low else "grid"),
            words(_LEFT - 6, y + 4, label, "muted", "end"),
        ]
    return marks
