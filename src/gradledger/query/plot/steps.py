"""``steps``: loss above, length of the change below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradledger.query.plot.canvas import (
    ACCENT,
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

_BAD = frozenset({"unbalanced", "not finite"})


@picture("steps")
def draw_steps(answer: Answer) -> Picture:
    """Draw the loss, where it was noted, and the norm of every step's change."""
    rows = answer.rows
    numbers = [row["step"] for row in rows]
    panels = [
        (name, words)
        for name, words in (
            ("loss", "loss [nats], mean over the visits of the step"),
            ("delta_norm", "|delta|: length of the step's change, all parameters"),
        )
        if any(row[name] is not None for row in rows)
    ]
    if not panels:
        raise no_picture("steps without loss and change", "at least one of both")
    bad = [row for row in rows if row["verdict"] in _BAD]
    with canvas(answer, 1.0 + 1.55 * len(panels), len(panels)) as (figure, axes):
        for place, (name, words) in zip(axes, panels, strict=True):
            values = [float("nan") if row[name] is None else row[name] for row in rows]
            line(place, numbers, values, color=ACCENT)
            marked = [(row["step"], row[name]) for row in bad if row[name] is not None]
            if marked:
                place.plot(
                    *zip(*marked, strict=True), "x", color=WARN, markersize=6, label="not balanced"
                )
                place.legend(loc="upper right")
            place.grid(visible=True, axis="y")
            if name == "delta_norm":
                place.set_ylim(bottom=0.0)
            caption(place, words)
        step_axis(axes[-1], numbers[0], numbers[-1])
    return Picture(figure)
