"""Literals and parameters of predicates."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlglot import exp

from gradledger.errors import PolicyError
from gradledger.policy.document import MAX_INTEGER
from gradledger.policy.place import shown
from gradledger.policy.predicate import Constant

Scalar = str | int | float | bool
Scalars = Scalar | Sequence[Scalar]

_DIGITS: Final = re.compile(r"[0-9]+\Z")


class ToConstant:
    """Turns sqlglot's literals and placeholders into constants.

    Args:
        params: Parameter -> constant or list.
    """

    def __init__(self, params: Mapping[str, Scalars]) -> None:
        self._params = params

    def scalar(self, node: exp.Expr, where: str) -> Constant | None:
        """Return the constant that a node stands for; None for other nodes.

        Raises:
            PolicyError: P130 a list parameter, P131 a number that cannot be kept exactly.
        """
        if isinstance(node, exp.Placeholder | exp.Parameter):
            value = self._params[node.name]
            if not isinstance(value, str | int | float | bool):
                raise PolicyError(
                    "P130",
                    observed=f"the list :{node.name}",
                    expected="a single value",
                    where=where,
                    hint=f"write IN :{node.name}",
                )
            return constant(value)
        if isinstance(node, exp.Boolean):
            return constant(bool(node.this))
        sign = 1
        if isinstance(node, exp.Neg):
            sign, node = -1, node.this
        if not isinstance(node, exp.Literal):
            return None
        if node.is_string:
            return constant(str(node.this))
        return constant(sign * _number(str(node.this), where))

    def listed(self, node: exp.Expr, where: str) -> list[Constant] | None:
        """Return the constants of a list parameter, or the one that a node stands for."""
        if isinstance(node, exp.Placeholder | exp.Parameter):
            value = self._params[node.name]
            if not isinstance(value, str | int | float | bool):
                return [constant(item) for item in value]
        found = self.scalar(node, where)
        return None if found is None else [found]

    @staticmethod
    def moment(value: Constant, where: str) -> Constant:
        """Read a text as a moment; without an offset it is UTC.

        Raises:
            PolicyError: P131.
        """
        if value.kind != "text":
            return value
        try:
            moment = datetime.fromisoformat(str(value.value))
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise PolicyError(
                "P131",
                observed=shown(value.value),
                expected="a moment of ISO 8601, such as '2026-01-31T00:00:00Z'",
                where=where,
            ) from None
        return Constant(moment, "moment")


def constant(value: Scalar) -> Constant:
    """Return a value with its kind."""
    if isinstance(value, bool):
        return Constant(value, "truth")
    return Constant(value, "text" if isinstance(value, str) else "number")


def _number(text: str, where: str) -> int | float:
    value = int(text) if _DIGITS.match(text) and len(text) <= len(str(MAX_INTEGER)) else float(text)
    if math.isinf(value) or (_DIGITS.match(text) and value > MAX_INTEGER):
        raise PolicyError(
            "P131",
            observed=shown(text),
            expected="a number between -(2**53 - 1) and 2**53 - 1, or a finite float",
            where=where,
        )
    return value
