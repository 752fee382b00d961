"""``capability``: a waterfall from the first value of a probe to its last, in nats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from gradledger.query.plot.canvas import (
    ACCENT,
    GREY,
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

_MAX_KEYS: Final = 20
#: Smaller parts are written with an exponent.
_SMALL: Final = 5e-5
#: Lines of the answer that stand for the keys drawn one by one.
_LISTED: Final = ("visits", "visits listed")


@picture("capability")
def draw_capability(answer: Answer) -> Picture:
    """Draw what each key, and each line of the books, did to the probe; they add up to its change.

    A bar begins where the one above it ended. Parts that lowered the loss are in the accent, parts
    that raised it in the colour of warnings, sums in grey.
    """
    parts, total = waterfall(answer)
    if not parts:
        raise no_picture("no part with nats", "at least one")
    with canvas(answer, 1.5 + 0.25 * max(3, len(parts) + 1)) as (figure, axes):
        level = 0.0
        for place, (_, nats) in enumerate(parts):
            colour = ACCENT if nats < 0 else WARN
            axes[0].barh(place, nats, left=level, color=colour, height=0.68)
            _value(axes[0], place, level, nats)
            axes[0].plot([level + nats] * 2, [place - 0.34, place + 1.34], color=MUTED, lw=0.6)
            level += nats
        axes[0].barh(len(parts), total, color=GREY, height=0.68)
        _value(axes[0], len(parts), 0.0, total)
        names = [*(name for name, _ in parts), "measured change"]
        axes[0].set_yticks(range(len(names)), names)
        axes[0].invert_yaxis()
        axes[0].axvline(0.0, color=INK, linewidth=0.8)
        axes[0].tick_params(axis="y", length=0)
        axes[0].spines["left"].set_visible(False)
        axes[0].grid(visible=True, axis="x")
        axes[0].use_sticky_edges = False  # Values are written beyond the ends of bars.
        axes[0].margins(x=0.14)
        axes[0].set_xlabel("change of the probe's loss since the first step, nats")
        moved = f"{answer.facts['value before']} before, {answer.facts['value after']} after"
        caption(axes[0], f"{moved}; to the left: the loss fell")
    return Picture(figure)


def waterfall(answer: Answer) -> tuple[list[tuple[str, float]], float]:
    """Return the parts that add up to the measured change, and that change, in nats.

    The keys that are ranked come first, at most twenty of them, then the other lines of the books
    in their order, and the curvature. Lines that are exactly 0 are left out.
    """
    ranking, lines = answer.table("ranking"), answer.table("lines").records()
    key = next(column.name for column in ranking.columns if column.name not in ("rank", "nats"))
    keys = [(shorten(row[key], 40), float(row["nats"])) for row in ranking.records()]
    shown, unshown = keys[:_MAX_KEYS], math.fsum(nats for _, nats in keys[_MAX_KEYS:])
    total = next(float(row["nats"]) for row in lines if row["line"] == "total")
    if key in ("block", "group"):
        # Parts of the model carry every line already; what is left is curvature and the rest.
        curvature = next(float(row["nats"]) for row in lines if row["line"] == "curvature")
        rest = total - curvature - math.fsum(nats for _, nats in shown)
        parts = [*shown, ("other parts", _exactly(rest, total)), ("curvature", curvature)]
    else:
        others = [
            (row["line"].replace("_", " "), float(row["nats"]))
            for row in lines
            if row["line"] not in (*_LISTED, "total")
        ]
        parts = [*shown, ("further keys listed", unshown), *others]
    return [(name, nats) for name, nats in parts if nats], total


def _exactly(rest: float, total: float) -> float:
    """Return 0 for what is the rounding of a sum."""
    return 0.0 if abs(rest) <= 1e-12 * max(1.0, abs(total)) else rest


def _value(axes: Any, place: int, level: float, nats: float) -> None:
    side = "left" if nats >= 0 else "right"
    axes.annotate(
        f"{nats:+.4f}" if abs(nats) >= _SMALL else f"{nats:+.0e}",
        (level + nats, place),
        xytext=(4 if nats >= 0 else -4, 0),
        textcoords="offset points",
        va="center",
        ha=side,
        fontsize=8,
        color=MUTED,
    )
