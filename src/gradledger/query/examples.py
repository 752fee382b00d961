"""The examples of a run: a list to look through, and everything recorded about one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query.answer import Answer, Column, Table, plain
from gradledger.query.records import Records
from gradledger.query.relations import quote
from gradledger.query.selection import (
    conditions,
    matching_examples,
    metadata_columns,
    preferred_metadata,
    visits_of,
    words,
)
from gradledger.query.timeline import at_least_one


def examples(
    records: Records,
    where: Mapping[str, Any],
    *,
    search: str = "",
    top: int = 50,
    skip: int = 0,
) -> Answer:
    """Return examples by number, admitted or not, with their verdicts.

    Args:
        records: The run.
        where: Filters that must all hold; none takes every example.
        search: Text that must stand in a metadata column or the id; upper and lower case are one.
        top: Rows at most.
        skip: Rows to leave out before them.

    Raises:
        QueryError: Q105 column, Q110 argument.
    """
    at_least_one(top=top, skip=skip + 1)
    sql, values = conditions(records, where, "x")
    if search:
        texts = [
            "x.example_id",
            *(f"CAST(x.{quote(n)} AS VARCHAR)" for n in metadata_columns(records)),
        ]
        sql += f" AND ({' OR '.join(f'contains(lower({text}), ?)' for text in texts)})"
        values += [search.lower()] * len(texts)
    total = int(records.ask(f"SELECT count(*) FROM examples x WHERE {sql}", values)[0][0])
    names = preferred_metadata(records)
    fields = "".join(f", x.{quote(name)}" for name in names)
    rows = records.ask(
        f'SELECT x.example, d.verdict, d."class", d.profile{fields} '
        f"FROM (SELECT * FROM examples x WHERE {sql} ORDER BY example "
        f"LIMIT {int(top)} OFFSET {int(skip)}) x LEFT JOIN decisions d USING (decision) "
        "ORDER BY x.example",
        values,
    )
    counts = visits_of(records, [row[0] for row in rows])
    columns = (
        Column("example", "example", "integer"),
        Column("verdict", "verdict"),
        Column("class", "class"),
        Column("profile", "profile"),
        *(Column(name, name) for name in names),
        Column("visits", "visits", "integer"),
    )
    counted = tuple((*row, counts.get(row[0], 0)) for row in rows)
    chosen = words(where) if where else "all"
    return Answer(
        question="examples",
        title=f"Examples: {chosen}" + (f', with "{search}"' if search else ""),
        kind="accounting",
        facts={"examples": total},
        tables=(Table("examples", f"{total} examples", columns, counted),),
    )


#: Columns that stand among the facts of an example.
_FACTS: Final = ("example_id", "verdict", "class", "profile", "policy", "reason")


def describe(records: Records, example: Any) -> Answer:
    """Return everything recorded about one example: identity, decision, metadata.

    Args:
        records: The run.
        example: Number, id, or value of a metadata column that names examples.

    Raises:
        QueryError: Q108 where none or several match.
    """
    where = {"example": example}
    count = matching_examples(records, where)
    sql, values = conditions(records, where, "x")
    if count != 1:
        raise QueryError(
            "Q108",
            observed=f"{count} examples",
            expected="one example",
            where=str(records.path),
            hint="name it by its number",
        )
    names = metadata_columns(records)
    fields = "".join(f", x.{quote(name)}" for name in names)
    row = records.ask(
        'SELECT x.example, x.example_id, d.verdict, d."class", d.profile, '
        f"d.policy_id || '@' || d.policy_version, d.reason{fields} "
        f"FROM (SELECT * FROM examples x WHERE {sql}) x LEFT JOIN decisions d USING (decision)",
        values,
    )[0]
    rows = tuple(
        (name, None if value is None else str(plain(value)))
        for name, value in zip(names, row[1 + len(_FACTS) :], strict=True)
    )
    columns = (Column("column", "column"), Column("value", "value", wraps=True))
    return Answer(
        question="describe",
        title=f"Example {row[0]}",
        kind="accounting",
        facts={"example": int(row[0]), **dict(zip(_FACTS, row[1:], strict=False))},
        tables=(Table("metadata", "What is recorded about it", columns, rows),),
    )
