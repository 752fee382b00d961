"""From typed predicates to SQL for DuckDB: every part in parentheses, no name of the user's.

Attributes become columns ``a0, a1, ...`` and results of evidence functions ``e0, e1, ...``.
Nothing that is written here can fail on a row, so that no row can stop an evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from gradledger.policy import predicate as p

#: Truth values as they are stored: the order is that of "at least possible".
FALSE: Final = 0
UNKNOWN: Final = 1
TRUE: Final = 2


def truth_column(tree: p.Predicate, columns: Mapping[str | p.Evidence, str], now: datetime) -> str:
    """Return the SQL expression of a predicate's truth: 0 false, 1 unknown, 2 true.

    Args:
        tree: The predicate.
        columns: Column of every attribute and every evidence it uses.
        now: The recorded moment of decision, in UTC.
    """
    return f"COALESCE(2 * CAST({_ToSql(columns, now).predicate(tree)} AS TINYINT), 1)::UTINYINT"


class _ToSql:
    def __init__(self, columns: Mapping[str | p.Evidence, str], now: datetime) -> None:
        self._columns, self._now = columns, now

    def predicate(self, node: p.Predicate) -> str:
        match node:
            case p.And(parts=parts):
                sql = " AND ".join(map(self.predicate, parts))
            case p.Or(parts=parts):
                sql = " OR ".join(map(self.predicate, parts))
            case p.Not(part=part):
                sql = f"NOT {self.predicate(part)}"
            case p.Fixed(value=value):
                sql = "TRUE" if value else "FALSE"
            case _:
                sql = self._leaf(node)
        return f"({sql})"

    def _leaf(self, node: p.Holds | p.Evidence | p.Compare | p.Affix | p.Like | p.Member) -> str:
        match node:
            case p.Holds(operand=operand):
                sql = self._columns[operand.name]
            case p.Evidence():
                sql = self._columns[node]
            case p.Compare(operator=operator, left=left, right=right):
                sql = f"{self._operand(left)} {operator} {self._operand(right)}"
            case p.Affix(function=function, operand=operand, part=part):
                sql = f"{function}({self._operand(operand)}, {self._operand(part)})"
            case p.Like(operand=operand, pattern=pattern):
                # As a regular expression of RE2, which is linear in the text whatever the pattern.
                regex = _text(_like_as_regex(pattern))
                sql = f"regexp_full_match({self._operand(operand)}, {regex}, 's')"
            case p.Member(operand=operand, values=values):
                sql = self._member(self._operand(operand), values)
        return sql

    def _member(self, operand: str, values: tuple[p.Constant, ...]) -> str:
        if not values:
            return f"CASE WHEN {operand} IS NULL THEN NULL ELSE FALSE END"
        return f"{operand} IN ({', '.join(map(self._operand, values))})"

    def _operand(self, node: p.Operand) -> str:
        match node:
            case p.Attribute(name=name):
                return self._columns[name]
            case p.Now():
                return _moment(self._now)
            case p.Apply(function=function, argument=argument):
                return f"{function}({self._operand(argument)})"
            case p.Constant(value=value):
                return _literal(value)


def _literal(value: p.Value) -> str:
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return f"CAST({value} AS BIGINT)"
        case float():
            # By way of text: a decimal literal would be rounded twice.
            return f"CAST('{value!r}' AS DOUBLE)"
        case datetime():
            return _moment(value)
        case str():
            return _text(value)


def _text(value: str) -> str:
    quoted = value.replace("'", "''")
    return f"'{quoted}'"


def _moment(value: datetime) -> str:
    return f"TIMESTAMP '{value.replace(tzinfo=None).isoformat(sep=' ')}'"


def _like_as_regex(pattern: str) -> str:
    return "".join({"%": ".*", "_": "."}.get(part) or re.escape(part) for part in pattern)
