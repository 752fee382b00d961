"""From the arguments of a question to filters by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradledger.errors import QueryError


def named_filters(
    example: int | str | None,
    content_class: str | None,
    where: Mapping[str, Any] | None,
    columns: Mapping[str, Any],
) -> dict[str, Any]:
    """Return all filters that were given, by name.

    Raises:
        QueryError: Q110 where one name has two values.
    """
    named: dict[str, Any] = {}
    if example is not None:
        named["example"] = example
    if content_class is not None:
        named["class"] = content_class
    for name, value in (*(where or {}).items(), *columns.items()):
        if name in named and named[name] != value:
            raise QueryError(
                "Q110",
                observed=f"{name} given twice, with different values",
                expected="each filter once",
            )
        named[name] = value
    return named
