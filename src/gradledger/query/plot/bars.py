"""``trace`` and ``follow``: horizontal bars, one per row, in the order of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradledger.query.plot.canvas import (
    ACCENT,
    INK,
    MUTED,
    WARN,
    Picture,
    canvas,
    caption,
    no_picture,
    shorten,
)
from gradledger.query.plot.registry import picture

if TYPE_CHECKING:
    from gradledger.query.answer import Answer

_MAX_BARS = 40


@picture("trace")
def draw_trace(answer: Answer) -> Picture:
    """Draw what moved the parameters, strongest first."""
    table = answer.table("ranking")
    name = table.columns[1].name
    shares = answer.measure != "norm"
    rows = [
        (row[name], row["share"] if shares else row["value"], row.get("path") or row.get("key"))
        for row in table.records()
    ]
    labels = [
        f"{key}  {shorten(words, 26)}" if name == "example" and words else key
        for key, _, words in rows
    ]
    unit = f"share of {answer.measure}" if shares else "sum of gradient norms"
    return _bars(answer, labels, [value for _, value, _ in rows], unit)


@picture("follow")
def draw_follow(answer: Answer) -> Picture:
    """Draw where the examples acted, from input to output."""
    rows = [row for row in answer.rows if next(iter(row.values())) != "total"]
    settled = any(row["displacement"] is not None for row in rows)
    which = "displacement" if settled else "energy"
    labels = [next(iter(row.values())) for row in rows]
    unit = f"share of each part's own {which}, input at the top"
    return _bars(answer, labels, [row[which] for row in rows], unit)


def _bars(answer: Answer, labels: Sequence[Any], values: Sequence[Any], unit: str) -> Picture:
    known = [(label, value) for label, value in zip(labels, values, strict=True)
             if value is not None][:_MAX_BARS]  # fmt: skip
    if not known:
        raise no_picture("no row with a figure", "at least one")
    figures = [value for _, value in known]
    with canvas(answer, 1.15 + 0.25 * max(3, len(known))) as (figure, axes):
        colours = [ACCENT if value >= 0 else WARN for value in figures]
        places = range(len(known))
        bars = axes[0].barh(places, figures, color=colours, height=0.68)
        form = "+.4f" if "share" in unit else ".4g"
        axes[0].bar_label(
            bars, [format(v, form) for v in figures], padding=4, fontsize=8, color=MUTED
        )
        axes[0].set_yticks(places, [shorten(label, 40) for label, _ in known])
        axes[0].invert_yaxis()
        axes[0].axvline(0.0, color=INK, linewidth=0.8)
        axes[0].tick_params(axis="y", length=0)
        axes[0].spines["left"].set_visible(False)
        axes[0].grid(visible=True, axis="x")
        axes[0].margins(x=0.16)
        caption(axes[0], unit)
    return Picture(figure)
