"""The canvas: matplotlib without its global state, one light style, one palette.

Class colours are those of Okabe and Ito, which colour-blind readers tell apart, in an order in
which neighbours also differ in lightness; a single series takes the accent.

Source: Okabe and Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

import importlib
import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gradledger.errors import QueryError, StorageError
from gradledger.query.inert import inert

if TYPE_CHECKING:
    from gradledger.query.answer import Answer

ACCENT: Final = "#0b6468"
INK: Final = "#1b1f23"
MUTED: Final = "#5d656d"
RULE: Final = "#d8dce0"
GREY: Final = "#b4bac0"
#: Whatever stands out as wrong.
WARN: Final = "#b3470f"
PALETTE: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")

_STYLE: Final[dict[str, Any]] = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": False,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "svg.hashsalt": "gradledger",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}
_DPI: Final = 150
#: Points up to which a line shows each of them.
_FEW: Final = 60
_SUFFIXES: Final = (".png", ".svg", ".pdf")
_TITLE, _LABEL = 86, 30


class Picture:
    """A finished picture; a notebook shows it as it is.

    Attributes:
        figure: The matplotlib figure, for whoever wants to go on drawing.
    """

    def __init__(self, figure: Any) -> None:
        self.figure = figure

    def save(self, path: str | Path) -> Path:
        """Write the picture; the same answer gives the same bytes.

        Args:
            path: Ends in ``.png``, ``.svg`` or ``.pdf``; written over if it exists.

        Raises:
            QueryError: Q110 where the ending is another one.
            StorageError: S112 where the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in _SUFFIXES:
            raise QueryError(
                "Q110", observed=f"{path.name!r}", expected=f"a name in {', '.join(_SUFFIXES)}"
            )
        content = self._bytes(path.suffix.lower()[1:])
        try:
            path.write_bytes(content)
        except OSError as error:
            raise StorageError(
                "S112",
                observed=f"{type(error).__name__}: {error.strerror}",
                expected="a file that can be written",
                where=str(path),
                hint="name a folder that exists and may be written to",
            ) from error
        return path

    def _repr_png_(self) -> bytes:
        return self._bytes("png")

    def _bytes(self, form: str) -> bytes:
        page = io.BytesIO()
        undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
        with _style():
            self.figure.savefig(page, format=form, dpi=_DPI, metadata=undated)
        return page.getvalue()


@contextmanager
def canvas(answer: Answer, height: float, rows: int = 1) -> Iterator[tuple[Any, list[Any]]]:
    """Yield a figure and its axes, below the title of the answer.

    Args:
        answer: What is drawn.
        height: Inches.
        rows: Axes above each other that share the horizontal one.

    Raises:
        QueryError: Q109 where matplotlib is not installed.
    """
    library = matplotlib()
    with _style():
        figure = library.figure.Figure(figsize=(7.6, height), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.08, w_pad=0.08, hspace=0.06)
        axes = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
        for place in axes:
            place.set_axisbelow(True)
        title = textwrap.fill(shorten(answer.title, 2 * _TITLE), _TITLE)
        figure.suptitle(title, x=0.012, ha="left", fontsize=10, fontweight="bold")
        yield figure, axes


def line(axes: Any, steps: Sequence[float], values: Sequence[float], **options: Any) -> None:
    """Draw one series over steps, with a dot per step where there are few, or gaps."""
    dots = "o" if len(steps) <= _FEW or any(math.isnan(value) for value in values) else None
    axes.plot(steps, values, linewidth=1.5, marker=dots, markersize=2.6, **options)


def step_axis(axes: Any, first: int, last: int) -> None:
    """Number the horizontal axis by steps."""
    axes.set_xlabel("step")
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)


def caption(axes: Any, words: str, colour: str = MUTED) -> None:
    """Write one line above the axes: measure and unit."""
    axes.set_title(words, loc="left", fontsize=8.5, color=colour, pad=8)


def shorten(value: Any, limit: int = _LABEL) -> str:
    """Return a label as one bounded line; the middle gives way, as names differ at both ends."""
    text = inert("-" if value is None else value, 400)
    if len(text) <= limit:
        return text
    tail = (limit - 1) * 2 // 3
    return f"{text[: limit - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{text[-tail:]}"


def no_picture(observed: str, expected: str) -> QueryError:
    """Return the error for an answer that cannot be drawn."""
    return QueryError(
        "Q151",
        observed=observed,
        expected=expected,
        where="plot",
        hint="use to_arrow() or to_pandas() and draw what you need",
    )


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib().rc_context(_STYLE):
        yield


def matplotlib() -> Any:
    """Load matplotlib, without pyplot and its global state.

    Raises:
        QueryError: Q109 where it is not installed.
    """
    try:
        importlib.import_module("matplotlib.figure")
        importlib.import_module("matplotlib.colors")
        library = importlib.import_module("matplotlib")
    except ImportError as missing:
        raise QueryError(
            "Q109",
            observed=f"no module named {missing.name}",
            expected="the packages of the extra 'plot'",
            where="plot",
            hint="pip install 'gradledger[plot]', or use to_arrow() and draw otherwise",
        ) from missing
    return library
