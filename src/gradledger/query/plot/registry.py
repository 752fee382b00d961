"""The registry of pictures: question -> the function that draws its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gradledger.query.plot.canvas import Picture, no_picture

if TYPE_CHECKING:
    from gradledger.query.answer import Answer

#: Draws one answer.
Drawing = Callable[["Answer"], Picture]

_DRAWINGS: Final[dict[str, Drawing]] = {}


def picture(question: str) -> Callable[[Drawing], Drawing]:
    """Register the function that draws answers to ``question`` (decorator)."""

    def register(drawing: Drawing) -> Drawing:
        _DRAWINGS[question] = drawing
        return drawing

    return register


def pictured() -> tuple[str, ...]:
    """Return the questions that have a picture."""
    return tuple(sorted(_DRAWINGS))


def draw(answer: Answer) -> Picture:
    """Draw an answer.

    Raises:
        QueryError: Q109 matplotlib is not installed, Q151 the question has no picture or its
            answer holds nothing to draw.
    """
    if answer.question not in _DRAWINGS:
        raise no_picture(answer.question, f"an answer to {', '.join(pictured())}")
    return _DRAWINGS[answer.question](answer)
