"""The gate for continuous integration: bars that a report's figures must not pass.

    expression = condition , { "," , condition }
    condition  = name , operator , number , [ "%" ]
    operator   = ">" | ">=" | "<" | "<=" | "=" | "!="

A condition describes a failure: ``unknown>0.05`` fails where more than five percent is unknown. A
figure that cannot be known fails every condition on it.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gradledger.errors import QueryError
from gradledger.report.evidence import Figure

#: Operator -> comparison of figure and bar.
OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}

#: Longest expression that is read.
MAX_LENGTH: Final = 1000

_CONDITION: Final = re.compile(
    r"\s*([a-z][a-z0-9-]*)\s*(>=|<=|!=|>|<|=)\s*"
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?)\s*(%?)\s*",
    re.ASCII,
)


@dataclass(frozen=True)
class Condition:
    """One failure: the figure ``name`` compared with ``bar`` by ``sign``."""

    name: str
    sign: str
    bar: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.bar:g}"


@dataclass(frozen=True)
class Violation:
    """A condition that holds, with the figure that it holds for."""

    condition: Condition
    figure: Figure

    def __str__(self) -> str:
        value = self.figure.value
        shown = "not known" if value is None else f"{value:.6g}" if _is_float(value) else str(value)
        return f"{self.condition}: {self.figure.label} is {shown}"


def parse_gate(expression: str) -> tuple[Condition, ...]:
    """Return the conditions of an expression.

    Raises:
        QueryError: Q141 where it is not of the form above.
    """
    if len(expression) > MAX_LENGTH:
        raise _unreadable(f"{len(expression)} characters", f"at most {MAX_LENGTH} characters")
    conditions = []
    for part in expression.split(","):
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise _unreadable(f"{part.strip()!r:.120}", f"NAME {' | '.join(OPERATORS)} NUMBER")
        name, sign, number, percent = match.groups()
        bar = float(number) / (100.0 if percent else 1.0)
        if not math.isfinite(bar):
            raise _unreadable(f"{part.strip()!r:.120}", "a bar that is a finite number")
        conditions.append(Condition(name, sign, bar))
    return tuple(conditions)


def violations(
    gauges: Mapping[str, Figure], conditions: tuple[Condition, ...]
) -> tuple[Violation, ...]:
    """Return the conditions that hold, in their order.

    Raises:
        QueryError: Q142 where the report has no figure of that name.
    """
    found = []
    for condition in conditions:
        figure = gauges.get(condition.name)
        if figure is None:
            raise QueryError(
                "Q142",
                observed=repr(condition.name),
                expected=" | ".join(gauges),
                where="report",
                hint="docs/how-to/read-a-rights-report.md tells what each of them is",
            )
        if _fails(figure, condition):
            found.append(Violation(condition, figure))
    return tuple(found)


def _fails(figure: Figure, condition: Condition) -> bool:
    value = figure.value
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return True
    return OPERATORS[condition.sign](float(value), condition.bar)


def _is_float(value: object) -> bool:
    return isinstance(value, float)


def _unreadable(observed: str, expected: str) -> QueryError:
    return QueryError(
        "Q141",
        observed=observed,
        expected=expected,
        where="report",
        hint="for example unknown>0.05,denied-visits>0,unbalanced>0",
    )
