"""``books``: how well they balance, step by step, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gradledger.query.plot.canvas import (
    ACCENT,
    MUTED,
    PALETTE,
    WARN,
    Picture,
    canvas,
    caption,
    line,
    no_picture,
    step_axis,
)
from gradledger.query.plot.registry import picture

if TYPE_CHECKING:
    from gradledger.query.answer import Answer

#: Series -> colour, words for it.
_SERIES: Final[dict[str, tuple[str, str]]] = {
    "rounding": (PALETTE[1], "rounding of the write, over the change"),
    "gap": (PALETTE[0], "missed by capture, over the visits"),
    "residual": (ACCENT, "unexplained, over all lines"),
}


@picture("books")
def draw_books(answer: Answer) -> Picture:
    """Draw the largest residual, gap and rounding over the groups, per step."""
    rows = answer.table("balance_by_step").records()
    middles = [(row["first_step"] + row["last_step"]) / 2 for row in rows]
    series = {name: [row[name] or float("nan") for row in rows] for name in _SERIES}
    if not any(row[name] for row in rows for name in _SERIES):
        raise no_picture("no ratio above 0 in these steps", "a step that changed something")
    with canvas(answer, 3.4) as (figure, axes):
        for name, (colour, words) in _SERIES.items():
            line(
                axes[0],
                middles,
                series[name],
                color=colour,
                label=f"{name}: {words}{_gaps(rows, name)}",
            )
        axes[0].set_yscale("log")
        axes[0].grid(visible=True, axis="y")
        axes[0].yaxis.set_major_formatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-"))
        axes[0].tick_params(axis="y", which="minor", length=0)
        axes[0].set_ylabel("ratio")
        step_axis(axes[0], rows[0]["first_step"], rows[-1]["last_step"])
        axes[0].legend(loc="upper left", bbox_to_anchor=(0.0, -0.2), ncols=1)
        _verdict(axes[0], answer)
    return Picture(figure)


def _gaps(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    return " (not drawn where it is exactly 0)" if any(row[name] == 0.0 for row in rows) else ""


def _verdict(axes: Any, answer: Answer) -> None:
    counts = answer.facts["verdicts"]
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    colour = WARN if answer.findings else MUTED
    caption(axes, f"largest ratio over the groups; books: {said}", colour)
