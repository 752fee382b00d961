"""The sheet that charts are drawn on: an SVG with a title, a description and a few marks.

Colours are classes of the page, so that one drawing serves light, dark and paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from gradledger.report.evidence import Chart, Grid, Value
from gradledger.report.markup import Markup, join, tag

#: Width of every drawing, in its own units; the page scales it.
WIDTH: Final = 720
#: Series that have a shade of their own; what comes after shares one.
SHADES: Final = 6
_LONGEST_LABEL: Final = 26
#: Ticks are sums of a step: zero among them may be off by rounding.
_ZERO: Final = 1e-12


def sheet(chart: Chart, number: int, height: float, marks: Sequence[Markup]) -> Markup:
    """Return the drawing with its title and description for those who do not see it."""
    names = f"t{number} d{number}"
    return tag(
        "svg",
        tag("title", chart.title, id=f"t{number}"),
        tag("desc", chart.description, id=f"d{number}"),
        *marks,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_labelledby=names,
        class_="chart",
    )


def words(x: float, y: float, text: object, kind: str = "", anchor: str = "start") -> Markup:
    """Return a line of text; ``kind`` is a class of the page."""
    shown = str(text)
    if len(shown) > _LONGEST_LABEL and kind != "note":
        shown = shown[: _LONGEST_LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return tag("text", shown, x=_place(x), y=_place(y), text_anchor=anchor, class_=kind or None)


def box(x: float, y: float, width: float, height: float, kind: str, tip: str = "") -> Markup:
    """Return a rectangle with a tip; never narrower than nothing."""
    return tag(
        "rect",
        tag("title", tip) if tip else None,
        x=_place(x),
        y=_place(y),
        width=_place(max(width, 0.0)),
        height=_place(max(height, 0.0)),
        class_=kind,
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> Markup:
    """Return a straight line."""
    return tag("line", x1=_place(x1), y1=_place(y1), x2=_place(x2), y2=_place(y2), class_=kind)


def legend(labels: Sequence[str], y: float) -> tuple[Markup, float]:
    """Return a legend of shades, and the height that it takes."""
    marks, x, row = [], 0.0, 0
    for place, label in enumerate(labels):
        wide = 30 + sum(8.4 if char.isupper() else 6.2 for char in label[:_LONGEST_LABEL])
        if x and x + wide > WIDTH:
            x, row = 0.0, row + 1
        top = y + 17 * row
        marks += [box(x, top, 10, 10, shade(place)), words(x + 15, top + 9, label)]
        x += wide
    return join(marks), 17.0 * (row + 1) + 6


def shade(place: int) -> str:
    """Return the class of a series."""
    return f"s{min(place, SHADES - 1)}"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers from ``low`` to ``high``, zero among them where it lies between."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [place * step for place in range(first, last + 1)]


def rule(tick: float) -> str:
    """Return the class of a line of the grid; that of zero is stronger."""
    return "axis" if abs(tick) < _ZERO else "grid"


def percent(value: float) -> str:
    """Return a fraction as percent for an axis."""
    return f"{100 * value:.4g}%".replace("-", "\N{MINUS SIGN}")


def columns_of(grid: Grid, names: Sequence[str]) -> list[int]:
    """Return the places of the fields that are drawn."""
    places = {field.name: place for place, field in enumerate(grid.fields)}
    return [places[name] for name in names]


def amount(value: Value) -> float:
    """Return a cell as a finite number; what does not exist is zero on a drawing."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return 0.0
    return float(value)


def gathered(grid: Grid, places: Sequence[int], keep: int) -> list[tuple[str, list[float]]]:
    """Return the first rows as label and cells; the rest added up as one row of others."""
    rows = [(str(row[0]), [amount(row[place]) for place in places]) for row in grid.rows]
    if len(rows) <= keep + 1:
        return rows
    rest = rows[keep:]
    sums = [math.fsum(cells[place] for _, cells in rest) for place in range(len(places))]
    return [*rows[:keep], (f"{len(rest)} others", sums)]


def _place(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
