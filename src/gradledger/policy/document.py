"""YAML text -> plain values, each with its place; nothing that a policy does not need.

The reader works on parser events, so that size, depth and forbidden features are met before any
tree is built. Plain scalars follow the core schema of YAML 1.2: ``no``, ``on`` and ``1:30`` are
text, a list of country codes keeps Norway.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from gradledger.errors import PolicyError
from gradledger.policy.place import Source, Span, shown

MAX_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 16
#: Beyond this not every JSON reader keeps an integer, so that a digest would be ambiguous.
MAX_INTEGER: Final = 2**53 - 1
_MAX_DIGITS: Final = 17

_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"
)
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A policy document as read.

    Attributes:
        source: Its text.
        content: Mappings, lists and scalars.
        values: Path of a value -> where it stands.
        keys: Path of a member -> where its key stands.
    """

    source: Source
    content: Any
    values: dict[Path, Span] = field(default_factory=dict)
    keys: dict[Path, Span] = field(default_factory=dict)

    def span(self, path: Path) -> Span:
        """Return where the value at a path stands, or the nearest one around it."""
        for size in range(len(path), -1, -1):
            if (found := self.values.get(path[:size])) is not None:
                return found
        return Span(0, 0)

    def where(self, path: Path, *, key: bool = False) -> str:
        """Return ``file:line:column`` of the value (or key) at a path."""
        if key and path in self.keys:
            return self.source.where(self.keys[path].start)
        return self.source.where(self.span(path).start)


def read_document(source: Source) -> Document:
    """Read a policy document.

    Args:
        source: Its text and name.

    Raises:
        PolicyError: P102 too large, P103 not YAML, P104 a YAML feature that policies lack, P105 a
            key twice, P106 nested too deeply, P107 control characters, P113 a number too large.
    """
    size = len(source.text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise too_large(size, source.name)
    reader = _Reader(source)
    try:
        return reader.read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise PolicyError(
            "P103",
            observed=str(error.problem or error.context),
            expected="a YAML document",
            where=source.where(mark.index) if mark else source.name,
        ) from error
    except yaml.reader.ReaderError as error:
        raise PolicyError(
            "P107",
            observed=f"the character U+{ord(source.text[error.position]):04X}",
            expected="printable text",
            where=source.where(error.position),
        ) from error


def too_large(size: int, name: str) -> PolicyError:
    """Return the error for a document of ``size`` bytes."""
    return PolicyError(
        "P102",
        observed=f"{size:,} bytes",
        expected=f"at most {MAX_BYTES:,}",
        where=name,
        hint="keep long lists in the data, as an attribute, instead of in the policy",
    )


class _Reader:
    """Builds a document from parser events."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._document = Document(source, None)

    def read(self) -> Document:
        events = yaml.parse(self._source.text, Loader=yaml.SafeLoader)
        content: Any = None
        num_documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                num_documents += 1
                if num_documents > 1 or event.version or event.tags:
                    raise self._refused(event, "a directive or a second document")
                content = self._node(next(events), events, ())
        return Document(self._source, content, self._document.values, self._document.keys)

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path) -> Any:
        self._check(event, path)
        span = _span(event)
        self._document.values[path] = span
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                items.append(self._node(event, events, (*path, len(items))))
            return items
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refused(event, "a document without content")
        self._document.values[path] = Span(span.start, span.stop, event.style or "", event.value)
        return self._scalar(event)

    def _mapping(self, events: Iterator[yaml.Event], path: Path) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            self._check(event, path)
            if not isinstance(event, yaml.ScalarEvent):
                raise self._refused(event, "a key that is not text")
            name = event.value
            self._check_characters(event)
            where = self._source.where(_start(event))
            if name == "<<" and event.implicit[0]:
                raise self._refused(event, "a merge key")
            if name in members:
                raise PolicyError(
                    "P105",
                    observed=f"the key {shown(name)} a second time",
                    expected="every key once",
                    where=where,
                    hint="merge the two or rename one",
                )
            inner = (*path, name)
            self._document.keys[inner] = _span(event)
            members[name] = self._node(next(events), events, inner)
        return members

    def _check(self, event: yaml.Event, path: Path) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise self._refused(event, f"the alias *{event.anchor}")
        if getattr(event, "anchor", None) is not None:
            raise self._refused(event, f"the anchor &{event.anchor}")  # type: ignore[attr-defined]
        if getattr(event, "tag", None) is not None:
            raise self._refused(event, f"the tag {shown(event.tag)}")  # type: ignore[attr-defined]
        if len(path) >= MAX_DEPTH and isinstance(event, yaml.CollectionStartEvent):
            raise PolicyError(
                "P106",
                observed=f"more than {MAX_DEPTH} levels",
                expected=f"at most {MAX_DEPTH}",
                where=self._source.where(_start(event)),
            )

    def _refused(self, event: yaml.Event, what: str) -> PolicyError:
        return PolicyError(
            "P104",
            observed=what,
            expected="one document of plain mappings, lists and scalars",
            where=self._source.where(_start(event)),
            hint="write the value out where it is used",
        )

    def _check_characters(self, event: yaml.ScalarEvent) -> None:
        if found := _CONTROL.search(event.value):
            raise PolicyError(
                "P107",
                observed=f"the character U+{ord(found.group()):04X}",
                expected="printable text",
                where=self._source.where(_start(event)),
            )

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        self._check_characters(event)
        text = event.value
        if not event.implicit[0]:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.match(text):
            if len(text) > _MAX_DIGITS or abs(int(text)) > MAX_INTEGER:
                raise PolicyError(
                    "P113",
                    observed=shown(text),
                    expected="an integer between -(2**53 - 1) and 2**53 - 1",
                    where=self._source.where(_start(event)),
                    hint="quote it if it is text",
                )
            return int(text)
        return float(text) if _FLOAT.match(text) else text


def _start(event: yaml.Event) -> int:
    return _span(event).start


def _span(event: yaml.Event) -> Span:
    """Return where an event stands; PyYAML marks all events that it makes of a text."""
    if event.start_mark is None or event.end_mark is None:
        return Span(0, 0)
    return Span(event.start_mark.index, event.end_mark.index)
