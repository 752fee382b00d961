"""What a licence expression says, and whether a list of allowed licences satisfies it.

Expressions come from strangers: length and nesting are bounded before anything is parsed, and text
that cannot be understood is *unknown*, never an error and never a permission.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import license_expression
from boolean import ParseError

__all__ = ["MAX_LENGTH", "MAX_NESTING", "NOASSERTION", "all_of", "normalise", "satisfies"]

#: Longest expression that is parsed, in characters (1 KiB: expressions are ASCII).
MAX_LENGTH: Final = 1024
#: Deepest nesting of parentheses that is parsed.
MAX_NESTING: Final = 16
#: SPDX's word for "nobody says".
NOASSERTION: Final = "NOASSERTION"

#: Names that a project makes up itself: known, but to that project only.
_OWN_LICENSE: Final = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")
_OWN_EXCEPTION: Final = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?AdditionRef-[A-Za-z0-9.-]+")


#: What the parser raises on malformed text; not all of it is meant, "A AND ()" indexes past an end.
_NOT_PARSED: Final = (
    license_expression.ExpressionError,
    ParseError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class _Term:
    """One licence, with its exception if it has one; ``key`` None when it is not known."""

    key: str | None


@dataclass(frozen=True)
class _All:
    """Every part is required."""

    parts: tuple[_Tree, ...]


@dataclass(frozen=True)
class _Either:
    """One part is enough."""

    parts: tuple[_Tree, ...]


_Tree = _Term | _All | _Either


def satisfies(expression: str | None, allowed: Collection[str]) -> bool | None:
    """Say whether a licence expression can be met with the allowed licences alone.

    ``OR`` is a choice and ``AND`` asks for all, in three-valued logic (Kleene): one allowed choice
    is enough even where the other is unknown, one refused part is enough to refuse. Licences are
    compared as listed: ``GPL-2.0-only`` in the list does not stand for ``GPL-2.0-or-later``, and
    ``X WITH Y`` is met only where ``X WITH Y`` is listed. A ``LicenseRef-`` name is a licence of
    somebody's own: not allowed unless listed, letter by letter.

    Args:
        expression: SPDX licence expression; None where there is none.
        allowed: SPDX identifiers, each with its exception if it has one, in any case. Entries that
            are not a single known licence match nothing.

    Returns:
        True or False; None where the answer is unknown: no expression, ``NONE``, ``NOASSERTION``,
        an unknown identifier that the answer depends on, or text that is no expression.

    Note:
        Grammar: SPDX specification 2.3, annex D.
    """
    tree = _tree(expression)
    if tree is None:
        return None
    entries = (allowed,) if isinstance(allowed, str) else allowed
    return _met(tree, _listed(frozenset(entries)))


def normalise(expression: str | None) -> str | None:
    """Return an expression in canonical spelling.

    Identifiers get the spelling of the SPDX list, deprecated ones their present name (``GPL-2.0``
    becomes ``GPL-2.0-only``), operators capitals, a part that stands twice stands once, and every
    choice within a whole, or whole within a choice, its parentheses. The order is kept.

    Args:
        expression: SPDX licence expression; None where there is none.

    Returns:
        The expression; None where it or any identifier in it is unknown.
    """
    tree = _tree(expression)
    return None if tree is None else _text(tree)


def _tree(expression: object) -> _Tree | None:
    """Parse within bounds; None for everything that is not understood."""
    if not isinstance(expression, str) or len(expression) > MAX_LENGTH:
        return None  # before the cache, so that it cannot be filled with megabytes
    return _parsed(expression)


@lru_cache(maxsize=4096)
def _parsed(expression: str) -> _Tree | None:
    # ASCII only: some other letters turn into ASCII ones when the case is changed.
    plain = expression.isascii() and all(
        letter.isprintable() or letter in "\t\r\n" for letter in expression
    )
    if not plain or not expression.strip() or _nesting(expression) > MAX_NESTING:
        return None
    licensing, known = _registry()
    try:
        return _read(licensing.parse(expression, simple=True), known)
    except _NOT_PARSED:
        return None


def _nesting(expression: str) -> int:
    depth = deepest = 0
    for letter in expression:
        if letter == "(":
            depth += 1
            deepest = max(deepest, depth)
        elif letter == ")":
            depth -= 1
    return deepest


@lru_cache(maxsize=1)
def _registry() -> tuple[Any, dict[str, tuple[str, bool]]]:
    """The parser, and for every spelling in lower case its identifier and if it is an exception."""
    known: dict[str, tuple[str, bool]] = {}
    symbols = [
        symbol
        for key, symbol in license_expression.get_spdx_licensing().known_symbols.items()
        if not key.startswith("LicenseRef-")
    ]
    for symbol in symbols:
        for alias in symbol.aliases:
            if not alias.startswith(
                "LicenseRef-"
            ):  # one project's name, whatever others make of it
                known[alias.lower()] = (symbol.key, symbol.is_exception)
    for symbol in symbols:  # last, since an identifier goes before somebody's alias
        known[symbol.key.lower()] = (symbol.key, symbol.is_exception)
    return license_expression.Licensing(), known


def _read(parsed: Any, known: dict[str, tuple[str, bool]]) -> _Tree:
    if isinstance(parsed, license_expression.LicenseWithExceptionSymbol):
        base = _identifier(parsed.license_symbol.key, known, exception=False)
        extra = _identifier(parsed.exception_symbol.key, known, exception=True)
        return _Term(f"{base} WITH {extra}" if base and extra else None)
    if isinstance(parsed, license_expression.LicenseSymbol):
        return _Term(_identifier(parsed.key, known, exception=False))
    if not isinstance(parsed, license_expression.AND | license_expression.OR):
        # The parser holds its nodes together by assertions, which `python -O` leaves out.
        raise TypeError(type(parsed).__name__)
    kind = _All if isinstance(parsed, license_expression.AND) else _Either
    parts: list[_Tree] = []
    for part in (_read(argument, known) for argument in parsed.args):
        # (A AND B) AND C is A AND B AND C
        parts.extend(part.parts if isinstance(part, kind) else [part])
    distinct = tuple(dict.fromkeys(parts))
    return distinct[0] if len(distinct) == 1 else kind(distinct)


def _identifier(name: str, known: dict[str, tuple[str, bool]], *, exception: bool) -> str | None:
    """The identifier in its own spelling, None if it is unknown or stands in the wrong place."""
    if (_OWN_EXCEPTION if exception else _OWN_LICENSE).fullmatch(name):
        return name
    if name.lower() in known:
        key, is_exception = known[name.lower()]
        return key if is_exception == exception else None
    if name.endswith("+") and not exception and name[:-1].lower() in known:
        key, is_exception = known[name[:-1].lower()]
        return None if is_exception else f"{key}+"
    return None


@lru_cache(maxsize=256)
def _listed(allowed: frozenset[object]) -> frozenset[str]:
    trees = (_tree(entry) for entry in allowed)
    return frozenset(tree.key for tree in trees if isinstance(tree, _Term) and tree.key is not None)


def _met(tree: _Tree, listed: frozenset[str]) -> bool | None:
    if isinstance(tree, _Term):
        return None if tree.key is None else tree.key in listed
    deciding = isinstance(tree, _Either)
    unknown = False
    for part in tree.parts:
        answer = _met(part, listed)
        if answer is deciding:
            return deciding
        unknown = unknown or answer is None
    return None if unknown else not deciding


def _text(tree: _Tree) -> str | None:
    if isinstance(tree, _Term):
        return tree.key
    texts = [_text(part) for part in tree.parts]
    written: list[str] = []
    for part, text in zip(tree.parts, texts, strict=True):
        if text is None:
            return None
        written.append(text if isinstance(part, _Term) else f"({text})")
    return (" AND " if isinstance(tree, _All) else " OR ").join(written)


def all_of(expressions: Iterable[str]) -> str | None:
    """Join expressions that hold together; None where one of them is unknown or they are too long.

    Args:
        expressions: At least one SPDX licence expression.
    """
    parts = [normalise(expression) for expression in expressions]
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    return normalise(" AND ".join(f"({part})" for part in known))
