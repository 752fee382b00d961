"""Places in a policy document: file, line and column of every value.

A mistake in a predicate is reported at its own character, not at the field that holds it; the text
of a scalar is therefore aligned with the characters that wrote it, whatever its YAML style.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

#: What PyYAML counts as the end of a line (YAML 1.1, section 5.4).
_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_BLANK: Final = " \t\r\n\x85\u2028\u2029"
#: Digits behind the escapes of double-quoted scalars; others stand for one character.
_ESCAPE_DIGITS: Final = {"x": 2, "u": 4, "U": 8}
_LINE_LENGTH: Final = 80

#: From the offset of a character in a predicate to ``file:line:column``.
Locate = Callable[[int], str]


@dataclass(frozen=True)
class Source:
    """The text of a policy and how it is called in messages.

    Attributes:
        name: File name, or ``policy`` where text was given.
        text: The document.
    """

    name: str
    text: str
    _starts: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = [0, *(match.end() for match in _BREAK.finditer(self.text))]
        object.__setattr__(self, "_starts", starts)

    def where(self, offset: int) -> str:
        """Return ``name:line:column`` of a character; both count from 1."""
        line = bisect_right(self._starts, offset)
        return f"{self.name}:{line}:{offset - self._starts[line - 1] + 1}"


@dataclass(frozen=True)
class Span:
    """Where a value stands.

    Attributes:
        start: Offset of its first character, quotes and indicators included.
        stop: Offset behind its last one.
        style: YAML style of a scalar (``'``, ``"``, ``|``, ``>`` or empty).
        value: Text of a scalar.
    """

    start: int
    stop: int
    style: str = ""
    value: str = ""


def locator(source: Source, span: Span) -> Locate:
    """Return the function from offsets in a scalar's text to places in its file."""
    offsets: list[int] = []

    def locate(offset: int) -> str:
        if not offsets:
            offsets.extend(_aligned(source.text[span.start : span.stop], span))
        if not span.value:
            return source.where(span.start)
        return source.where(span.start + offsets[min(max(offset, 0), len(offsets) - 1)])

    return locate


def _aligned(raw: str, span: Span) -> list[int]:
    """Return for every character of a scalar the offset in its raw text that wrote it.

    Exact for everything but white space that folding made; that stands near its break.
    """
    place = _content_start(raw, span.style)
    offsets: list[int] = []
    for character in span.value:
        place = _skipped(raw, place, character, span.style)
        offsets.append(min(place, max(len(raw) - 1, 0)))
        if place >= len(raw):
            continue
        if span.style == '"' and raw[place] == "\\":
            place += 2 + _ESCAPE_DIGITS.get(raw[place + 1 : place + 2], 0)
        elif span.style == "'" and raw[place] == "'":
            place += 2
        elif raw[place] == character:
            place += 1
    return offsets


def _content_start(raw: str, style: str) -> int:
    if style in {"'", '"'}:
        return 1
    if style in {"|", ">"}:
        header = _BREAK.search(raw)
        return header.end() if header else len(raw)
    return 0


def _skipped(raw: str, place: int, character: str, style: str) -> int:
    """Return the next place that may have written a character."""
    while place < len(raw) and raw[place] != character:
        if style == '"' and raw[place] == "\\" and raw[place + 1 : place + 2] in _BLANK:
            place += 2  # a line that is continued
        elif raw[place] in _BLANK and character not in _BLANK:
            place += 1
        else:
            break
    return place


def shown(value: object) -> str:
    """Return a value as it may stand in a message: one line, cut, without control characters."""
    text = repr(value)
    return text if len(text) <= _LINE_LENGTH else f"{text[: _LINE_LENGTH - 3]}..."
