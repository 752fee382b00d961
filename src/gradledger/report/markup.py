"""HTML and SVG by construction: every text is made inert and escaped, no string becomes a tag.

``Markup`` marks what this module made; anything else that is put into an element is text. Names of
elements and attributes are code, never data.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from gradledger.query import inert

#: Characters of one text before it is cut.
LONGEST: Final = 400

#: Elements without content.
_VOID: Final = frozenset({"meta"})


class Markup(str):
    """A piece of HTML or SVG that is safe to join with others."""

    __slots__ = ()


def tag(name: str, /, *content: object, **attributes: object) -> Markup:
    """Return an element.

    Args:
        name: Name of the element.
        *content: Markup, or anything else, which is shown as text; ``None`` is left out.
        **attributes: Values are escaped; ``None`` and ``False`` leave the attribute out, ``True``
            gives it without a value. Underscores become hyphens and one at the end is dropped.
    """
    parts = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-") if key != "viewBox" else key
        parts.append(f" {label}" if value is True else f' {label}="{_text(value)}"')
    opened = f"<{name}{''.join(parts)}>"
    if name in _VOID:
        return Markup(opened)
    return Markup(f"{opened}{join(content)}</{name}>")


def join(content: Iterable[object]) -> Markup:
    """Return pieces one after the other; what is not markup is text."""
    return Markup(
        "".join(
            item if isinstance(item, Markup) else _text(item)
            for item in content
            if item is not None
        )
    )


def prose(value: object) -> Markup:
    """Return text of several sentences, which may be longer than that of a cell."""
    return Markup(escape(inert(value, 10 * LONGEST), quote=True))


def breakable(value: object) -> Markup:
    """Return text that a line may break after its dots, slashes and underscores."""
    text = _text(value)
    for char in "./_":
        text = text.replace(char, f"{char}<wbr>")
    return Markup(text)


def _text(value: object) -> str:
    return escape(inert(value, LONGEST), quote=True)
