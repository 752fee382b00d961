"""``matrix``: a heat map, blocks from input to output, one column per kind of example."""

from __future__ import annotations

import textwrap
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
    matplotlib,
    no_picture,
    shorten,
)
from gradledger.query.plot.registry import picture

if TYPE_CHECKING:
    from gradledger.query.answer import Answer

_WORDS: Final[dict[str, str]] = {
    "energy": "share of each row's own change, cash basis; 0 means not one gradient got in",
    "displacement": "share of each row's own displacement, accrual basis; 0 means not one "
    "gradient got in",
    "frozen": "share of each row's own displacement, frozen-curvature adjoint; 0 means not one "
    "gradient got in",
    "norm": "sum of gradient norms; 0 means not one gradient got in",
}
#: Above this part of the range a cell is so dark that its figure turns white.
_DARK: Final = 0.66
_MAX_FIGURES: Final = 400
#: Columns whose names find room side by side.
_LEVEL: Final = 6


@picture("matrix")
def draw_matrix(answer: Answer) -> Picture:
    """Draw every share as a cell, with its figure where there is room."""
    table = answer.table("cells")
    place = 2 if answer.measure == "norm" else 3
    units = list(dict.fromkeys(row[0] for row in table.rows))
    keys = list(dict.fromkeys(row[1] for row in table.rows))
    found = {(row[0], row[1]): row[place] for row in table.rows}
    known = [abs(value) for value in found.values() if value is not None]
    if not any(known):
        raise no_picture("no cell other than 0", "a visit that moved one of these parameters")
    grid = [[found.get((unit, key)) for key in keys] for unit in units]
    with canvas(answer, 1.75 + max(3, len(units)) * 0.3) as (figure, axes):
        image = _cells(axes[0], grid, max(known))
        _figures(axes[0], grid, max(known))
        _name_columns(axes[0], keys)
        axes[0].set_yticks(range(len(units)), [shorten(unit, 34) for unit in units])
        axes[0].set_xlabel(table.columns[1].header)
        axes[0].set_ylabel(f"{table.columns[0].header}, input at the top")
        caption(axes[0], _WORDS.get(answer.measure, answer.measure))
        bar = figure.colorbar(image, ax=axes[0], fraction=0.04, pad=0.02)
        bar.set_label("share" if answer.measure != "norm" else "norm sum", color=MUTED)
        bar.outline.set_visible(False)
        # The ramp is symmetric about 0; the bar shows the part of it that is in use.
        bar.ax.set_ylim(min(0.0, *_known(grid)), max(0.0, *_known(grid)))
    return Picture(figure)


def _known(grid: list[list[float | None]]) -> list[float]:
    return [value for row in grid for value in row if value is not None]


def _name_columns(axes: Any, keys: list[Any]) -> None:
    """Write few names level, in two lines where they are long; many names slanted."""
    level = len(keys) <= _LEVEL
    names = [shorten(key, 26 if level else 20) for key in keys]
    if level:
        names = [textwrap.fill(name, 64 // len(keys)) for name in names]
    axes.set_xticks(range(len(keys)), names)
    if not level:
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")


def _cells(axes: Any, grid: list[list[float | None]], largest: float) -> Any:
    """Paint the cells: white is nothing, the accent moves with the change, orange against it."""
    lowest = min(_known(grid))
    ramp = [WARN, "#ffffff", ACCENT] if lowest < 0 else ["#ffffff", ACCENT]
    shades = matplotlib().colors.LinearSegmentedColormap.from_list("ledger", ramp)
    shades = shades.with_extremes(bad="#eef0f1")
    values = [[float("nan") if v is None else v for v in row] for row in grid]
    image = axes.imshow(
        values, cmap=shades, vmin=-largest if lowest < 0 else 0.0, vmax=largest, aspect="auto"
    )
    axes.set_xticks([n + 0.5 for n in range(len(grid[0]) - 1)], minor=True)
    axes.set_yticks([n + 0.5 for n in range(len(grid) - 1)], minor=True)
    axes.grid(visible=True, which="minor", color="white", linewidth=1.6)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def _figures(axes: Any, grid: list[list[float | None]], largest: float) -> None:
    if len(grid) * len(grid[0]) > _MAX_FIGURES:
        return
    for y, row in enumerate(grid):
        for x, value in enumerate(row):
            if value is None:
                text, colour = "none", MUTED
            elif value == 0.0:
                text, colour = "0", GREY
            else:
                text = f"{value:.3f}" if largest < 100 else f"{value:.3g}"  # noqa: PLR2004
                colour = "white" if abs(value) > _DARK * largest else INK
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
