"""``timeline``: stacked bars, one per window; what moved against the change goes below zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from gradledger.query.cells import OTHERS
from gradledger.query.plot.canvas import (
    GREY,
    INK,
    PALETTE,
    Picture,
    canvas,
    caption,
    no_picture,
    shorten,
    step_axis,
)
from gradledger.query.plot.registry import picture

if TYPE_CHECKING:
    from gradledger.query.answer import Answer

_WORDS: Final[dict[str, str]] = {
    "energy": "share of the window's change, cash basis; the rest up to 1 is momentum, decay, "
    "rounding",
    "displacement": "share of the whole displacement, accrual basis",
    "frozen": "share of the whole displacement, frozen-curvature adjoint",
    "norm": "part of the sum of gradient norms",
}
_SUM: Final = "all visits"
#: More colours than this nobody tells apart.
_COLOURS: Final = len(PALETTE)


@picture("timeline")
def draw_timeline(answer: Answer) -> Picture:
    """Draw the shares of every window as one bar of stacked keys."""
    table = answer.table("cells")
    windows = list(dict.fromkeys(row[:2] for row in table.rows))
    keys = list(dict.fromkeys(row[2] for row in table.rows))
    shares = {(row[:2], row[2]): row[4] for row in table.rows}
    if not any(share for share in shares.values()):
        raise no_picture("no visit with a share in these steps", "a share other than 0")
    shown = [key for key in keys if key != OTHERS][:_COLOURS]
    series = [(key, [shares.get((w, key)) or 0.0 for w in windows]) for key in shown]
    rest = [key for key in keys if key not in shown]
    if rest:
        joined = [sum(shares.get((w, key)) or 0.0 for key in rest) for w in windows]
        series.append((OTHERS, joined))
    with canvas(answer, 3.7) as (figure, axes):
        _stack(axes[0], windows, series)
        caption(axes[0], _WORDS.get(answer.measure, answer.measure))
        if len(series) > 1:
            axes[0].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.1)
    return Picture(figure)


def _stack(
    axes: Any, windows: Sequence[tuple[int, int]], series: Sequence[tuple[Any, list[float]]]
) -> None:
    centres = [(first + last) / 2 for first, last in windows]
    width = (windows[0][1] - windows[0][0] + 1) * 0.86
    above, below = [0.0] * len(windows), [0.0] * len(windows)
    for place, (key, values) in enumerate(series):
        colour = GREY if key == OTHERS else PALETTE[place % _COLOURS]
        feet = [a if v >= 0 else b for v, a, b in zip(values, above, below, strict=True)]
        axes.bar(
            centres, values, width, bottom=feet, color=colour, label=shorten(key, 26),
            edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        above = [a + max(v, 0.0) for v, a in zip(values, above, strict=True)]
        below = [b + min(v, 0.0) for v, b in zip(values, below, strict=True)]
    if any(below) and len(series) > 1:
        sums = [a + b for a, b in zip(above, below, strict=True)]
        axes.plot(centres, sums, "o", color=INK, markersize=3, label=_SUM)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.grid(visible=True, axis="y")
    axes.set_ylabel("share")
    step_axis(axes, windows[0][0], windows[-1][1])
