"""What a URL asks: named texts with kinds, so that a page's whole state is its address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from gradledger.errors import WebError

#: Longest text that an argument may have.
_LONGEST: Final = 4000
_LARGEST: Final = 2**31 - 1


@dataclass(frozen=True)
class Arguments:
    """The arguments of a page, in order; a name may stand several times.

    Attributes:
        items: Names and texts as they stand in the URL.
    """

    items: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def of(items: Iterable[tuple[str, str]], longest: int = _LONGEST) -> Arguments:
        """Return arguments without the empty ones, which say nothing.

        Args:
            items: Names and texts.
            longest: Characters of a text, at most.

        Raises:
            WebError: W107 a text that is too long.
        """
        kept = tuple((name, text) for name, text in items if text != "")
        for name, text in kept:
            if len(text) > longest:
                raise _unreadable(name, f"{len(text)} characters", f"at most {longest}")
        return Arguments(kept)

    def text(self, name: str, otherwise: str | None = None) -> str | None:
        """Return the last text of that name."""
        found = self.many(name)
        return found[-1] if found else otherwise

    def many(self, name: str) -> list[str]:
        """Return every text of that name."""
        return [text for key, text in self.items if key == name]

    def number(
        self, name: str, otherwise: int | None = None, *, low: int = 0, high: int = _LARGEST
    ) -> int | None:
        """Return a whole number.

        Raises:
            WebError: W107 where it is none, or outside the bounds.
        """
        given = self.text(name)
        if given is None:
            return otherwise
        is_number = given.isascii() and given.isdigit() and len(given) <= len(str(high))
        if not is_number or not low <= int(given) <= high:
            raise _unreadable(name, repr(given[:40]), f"a whole number from {low} to {high}")
        return int(given)

    def fraction(self, name: str, otherwise: float | None = None) -> float | None:
        """Return a number of at least 0.

        Raises:
            WebError: W107 where it is none.
        """
        given = self.text(name)
        if given is None:
            return otherwise
        try:
            value = float(given)
        except ValueError:
            value = -1.0
        if not 0.0 <= value < float("inf"):
            raise _unreadable(name, repr(given[:40]), "a finite number of at least 0")
        return value

    def choice(self, name: str, choices: Sequence[str], otherwise: str) -> str:
        """Return one of some words.

        Raises:
            WebError: W107 where it is another.
        """
        given = self.text(name, otherwise) or otherwise
        if given not in choices:
            raise _unreadable(name, repr(given[:80]), " | ".join(choices))
        return given

    def filters(self, name: str = "where") -> dict[str, str | None]:
        """Return filters that stand as COLUMN=VALUE; an empty value matches where none is recorded.

        Raises:
            WebError: W107 without an equals sign, or one column twice.
        """
        found: dict[str, str | None] = {}
        for item in self.many(name):
            column, sign, value = item.partition("=")
            if not sign or not column or column in found:
                raise _unreadable(name, repr(item[:80]), "COLUMN=VALUE, each column once")
            found[column] = value or None
        return found

    def url(self, path: str, **changes: Any) -> str:
        """Return a URL with these arguments, some of them changed; ``None`` takes one away."""
        kept = [(name, text) for name, text in self.items if name not in changes]
        return url(path, [*kept, *_pairs(changes)])


def url(path: str, items: Iterable[tuple[str, str]]) -> str:
    """Return a path with a query."""
    query = urlencode(list(items), quote_via=quote, safe="/:@")
    return f"{path}?{query}" if query else path


def link(path: str, **arguments: Any) -> str:
    """Return a URL with these arguments; lists repeat a name, ``None`` leaves it out."""
    return url(path, _pairs(arguments))


def _pairs(arguments: dict[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in arguments.items():
        if isinstance(value, list | tuple):
            found += [(name, str(item)) for item in value]
        elif value is not None and value != "":
            found.append((name, str(value)))
    return found


def _unreadable(name: str, observed: str, expected: str) -> WebError:
    return WebError("W107", observed=f"{name}: {observed}", expected=expected)
