"""Texts that share runs of words with one that is sought: candidates, never findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradledger.errors import QueryError
from gradledger.query.answer import Column, Table
from gradledger.query.records import Records
from gradledger.query.relations import quote
from gradledger.query.resemblance import Likeness, likeness, shingles
from gradledger.query.selection import conditions, metadata_columns, preferred_metadata

#: Text of an example, by its number; ``None`` where there is none. Or a metadata column.
Texts = Callable[[int], str | None] | str


@dataclass(frozen=True)
class Sought:
    """What is looked for.

    Attributes:
        where: Filters that must all hold.
        content: An item as the data set yields it, or the path of a file that holds one.
        text: A text to find similar ones of.
        texts: Where the texts of the examples come from.
        threshold: Smallest resemblance or containment of a candidate.
        top: Candidates that are listed, at most.
    """

    where: Mapping[str, Any]
    content: Any = None
    text: str | None = None
    texts: Texts | None = None
    threshold: float = 0.5
    top: int = 20


def candidates_table(records: Records, sought: Sought, found: frozenset[int]) -> Table:
    """Return the examples whose texts are like the one sought, most alike first."""
    wanted = shingles(sought.text or "")
    near: list[tuple[Likeness, int]] = []
    for example, text in texts_of(records, sought):
        if example in found or not text:
            continue
        alike = likeness(wanted, shingles(text))
        if max(alike.resemblance, alike.containment) >= sought.threshold:
            near.append((alike, example))
    near.sort(key=lambda pair: (-pair[0].resemblance, -pair[0].containment, pair[1]))
    shown = near[: sought.top]
    of_example = {
        row[0]: row for row in examples_by_number(records, [example for _, example in shown])
    }
    names = preferred_metadata(records)[:1]
    rows = tuple(
        (
            example,
            *of_example[example][1 : 1 + len(names)],
            alike.resemblance,
            alike.containment,
            of_example[example][-4],
            of_example[example][-1],
        )
        for alike, example in shown
    )
    columns = (
        Column("example", "example", "integer"),
        *(Column(name, name) for name in names),
        Column("resemblance", "resemblance", "number"),
        Column("containment", "containment", "number"),
        Column("verdict", "verdict"),
        Column("visits", "visits", "integer"),
    )
    title = f"Candidates: {len(near)} with at least {sought.threshold:g} in common"
    return Table("candidates", title, columns, rows)


def texts_of(records: Records, sought: Sought) -> list[tuple[int, str | None]]:
    """Return the texts of the examples that hold what is sought, by number.

    Raises:
        QueryError: There is no such column. Code Q105.
    """
    sql, values = conditions(records, sought.where, "x")
    texts = sought.texts
    if isinstance(texts, str):
        if texts not in metadata_columns(records):
            raise QueryError(
                "Q105",
                observed=repr(texts),
                expected="a metadata column with texts: " + " | ".join(metadata_columns(records)),
                where=str(records.path),
            )
        field = f"CAST(x.{quote(texts)} AS VARCHAR)"
        return records.ask(f"SELECT x.example, {field} FROM examples x WHERE {sql}", values)
    rows = records.ask(f"SELECT x.example FROM examples x WHERE {sql} ORDER BY 1", values)
    return [(int(row[0]), texts(int(row[0])) if texts else None) for row in rows]


def examples_by_number(records: Records, examples: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return number, naming columns, verdict, first and last step and visits of each example."""
    if not examples:
        return []
    fields = "".join(f", x.{quote(name)}" for name in preferred_metadata(records))
    sql, _ = conditions(records, {"example": tuple(examples)}, "x")
    return records.ask(
        f"SELECT x.example{fields}, d.verdict, v.first, v.last, coalesce(v.visits, 0) "
        "FROM examples x LEFT JOIN decisions d USING (decision) LEFT JOIN ("
        "SELECT example, min(step) AS first, max(step) AS last, count(*) AS visits FROM visits "
        f"GROUP BY example) v USING (example) WHERE {sql} ORDER BY x.example"
    )
