"""Bounds of a selection: ``lines>=`` and ``lines<=`` beside the name of a metadata column.

Columns of numbers and of moments are compared as such, columns of text in the order of their
characters, which for dates as ISO 8601 writes them is the order of time.
"""

from __future__ import annotations

from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query.records import Records
from gradledger.query.relations import quote

#: Endings of a name that make it a bound.
BOUNDS: Final[tuple[str, ...]] = (">=", "<=")

_NUMBERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
                   "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "DECIMAL")  # fmt: skip
_MOMENTS: Final = ("DATE", "TIME", "TIMESTAMP")


def bound_of(name: str) -> tuple[str, str]:
    """Return column and bound that a filter's name stands for; no bound where it ends in none."""
    for sign in BOUNDS:
        if name.endswith(sign) and len(name) > len(sign):
            return name.removesuffix(sign).rstrip(), sign
    return name, ""


def bounded(records: Records, column: str, sign: str, value: Any) -> tuple[str, list[Any]]:
    """Return SQL that is true for examples ``e`` whose column is on the right side of a value.

    Where nothing is recorded, no bound holds.

    Args:
        records: The run.
        column: A metadata column.
        sign: One of ``BOUNDS``.
        value: In the form of the column, both ends included.

    Raises:
        QueryError: The value is not of the column's form. Code Q110.
    """
    given = None if value is None else str(value)
    kind = _ordered(records.columns["examples"][column], given or "")
    misfits = f"SELECT TRY_CAST(? AS {kind}) IS NULL"
    if given is None or records.ask(misfits, [given])[0][0]:
        raise QueryError(
            "Q110",
            observed=f"{column}{sign}{given if given is not None else ''}"[:120],
            expected=f"a value of the column's form, {kind.lower()}",
            where=str(records.path),
        )
    return f"CAST(e.{quote(column)} AS {kind}) {sign} CAST(? AS {kind})", [given]


def _ordered(kind: str, given: str) -> str:
    """Return the SQL type that a column is compared in."""
    if kind.startswith(_MOMENTS):
        return kind
    if kind.startswith(_NUMBERS):
        # A fraction against whole numbers must not be rounded to one of them.
        whole = "INT" in kind and given.strip().lstrip("+-").isdecimal()
        return kind if whole else "DOUBLE"
    return "VARCHAR"
