"""The interface of a renderer: evidence in, one text out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradledger.report.evidence import Evidence


@dataclass(frozen=True)
class Renderer:
    """One form in which a report can be written.

    Attributes:
        name: Name of the format.
        suffix: Ending of file names.
        media_type: Media type.
        render: Returns the whole text; the same evidence gives the same text.
    """

    name: str
    suffix: str
    media_type: str
    render: Callable[[Evidence], str]
