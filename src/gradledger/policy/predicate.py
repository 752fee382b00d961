"""Predicates as small typed trees, and their meaning under missing values.

Every node is *monotone in knowledge*: taking a value away can turn true or false into unknown, and
never true into false or the reverse. There is deliberately no node that asks whether a value is
missing. Admission rests on this (see ``verdict``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

#: Kind of a value: what may be compared with what.
Kind = Literal["text", "number", "truth", "moment"]
Value = str | int | float | bool | datetime

#: Kind of each type that an attribute may declare.
KIND_OF_TYPE: Final[dict[str, Kind]] = {
    "string": "text",
    "spdx": "text",
    "int": "number",
    "float": "number",
    "bool": "truth",
    "timestamp": "moment",
}
COMPARISONS: Final = ("=", "<>", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Attribute:
    """The value of an attribute of the example."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Constant:
    """A literal or parameter."""

    value: Value
    kind: Kind


@dataclass(frozen=True)
class Now:
    """The recorded moment of decision."""

    kind: Kind = "moment"


@dataclass(frozen=True)
class Apply:
    """``lower``, ``upper`` or ``length`` of a text."""

    function: str
    argument: Operand
    kind: Kind


Operand = Attribute | Constant | Now | Apply


@dataclass(frozen=True)
class Fixed:
    """TRUE or FALSE."""

    value: bool


@dataclass(frozen=True)
class Holds:
    """A boolean attribute."""

    operand: Attribute


@dataclass(frozen=True)
class Compare:
    """Two operands of one kind under one of ``COMPARISONS``."""

    operator: str
    left: Operand
    right: Operand


@dataclass(frozen=True)
class Member:
    """IN: unknown for a missing operand, also where the list is empty."""

    operand: Operand
    values: tuple[Constant, ...]


@dataclass(frozen=True)
class Like:
    """LIKE: ``%`` stands for any text, ``_`` for one character; nothing escapes them."""

    operand: Operand
    pattern: str


@dataclass(frozen=True)
class Affix:
    """``starts_with`` or ``ends_with``."""

    function: str
    operand: Operand
    part: Operand


@dataclass(frozen=True)
class Evidence:
    """A function that the caller gives, over one text attribute and a set of texts."""

    function: str
    attribute: str
    allowed: tuple[str, ...]


@dataclass(frozen=True)
class Not:
    """Negation."""

    part: Predicate


@dataclass(frozen=True)
class And:
    """True where all parts are, false where one is false, else unknown."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True)
class Or:
    """True where one part is, false where all are false, else unknown."""

    parts: tuple[Predicate, ...]


Predicate = Fixed | Holds | Compare | Member | Like | Affix | Evidence | Not | And | Or
Node = Predicate | Operand


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes below a node, from left to right."""
    found: tuple[Node, ...] = ()
    match node:
        case And(parts=parts) | Or(parts=parts):
            found = parts
        case Compare(left=left, right=right):
            found = (left, right)
        case Affix(operand=operand, part=part):
            found = (operand, part)
        case Holds(operand=one) | Member(operand=one) | Like(operand=one):
            found = (one,)
        case Not(part=one) | Apply(argument=one):
            found = (one,)
    return found


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it, from left to right."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(children(current)))


def attributes_of(node: Node) -> list[str]:
    """Return the names of the attributes that a predicate reads, in order of appearance."""
    names = dict.fromkeys(
        part.attribute if isinstance(part, Evidence) else part.name
        for part in walk(node)
        if isinstance(part, Attribute | Evidence)
    )
    return list(names)


def depth_of(node: Node) -> int:
    """Return the number of levels of a predicate; a leaf has one."""
    return 1 + max((depth_of(child) for child in children(node)), default=0)
