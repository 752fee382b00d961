"""Where rows lie: the segment file and the place within it, for rows that are to be proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradledger.query.records import Records
from gradledger.query.relations import quote, rows_of


def places(
    records: Records, relation: str, where: Mapping[str, Sequence[int]]
) -> list[tuple[str, int]]:
    """Return path below the run and row index of some rows, in file order.

    Args:
        records: The run.
        relation: A table, such as ``visits``.
        where: Column -> numbers, of which the row must have one; all columns must agree.

    Raises:
        QueryError: Q102 where a table cannot be read.
    """
    if not records.has(relation):
        return []
    condition = " AND ".join(f"{quote(name)} IN (SELECT unnest(?::BIGINT[]))" for name in where)
    values = [list(numbers) for numbers in where.values()]
    found: list[tuple[str, int]] = []
    for path in records.files[relation]:
        source = rows_of([path]).replace("union_by_name", "file_row_number")
        rows = records.ask(
            f"SELECT file_row_number FROM {source} WHERE {condition} ORDER BY 1", values
        )
        below = path.relative_to(records.path).as_posix()
        found += [(below, int(row[0])) for row in rows]
    return found


def decisions_on(records: Records, examples: Sequence[int]) -> list[int]:
    """Return the decisions that examples, or visits of them, name; ascending."""
    within = "decision IS NOT NULL AND example IN (SELECT unnest(?::INTEGER[]))"
    rows = records.ask(
        f"SELECT decision FROM examples WHERE {within} "
        f"UNION SELECT decision FROM visits WHERE {within} ORDER BY 1",
        [list(examples), list(examples)],
    )
    return [int(row[0]) for row in rows]


def policy_digests(records: Records, decisions: Sequence[int]) -> set[str]:
    """Return the digests of the policies that decisions were made under."""
    rows = records.ask(
        "SELECT DISTINCT policy_digest FROM decisions "
        "WHERE decision IN (SELECT unnest(?::INTEGER[]))",
        [list(decisions)],
    )
    return {str(row[0]) for row in rows if row[0]}


def verdict_counts(records: Records) -> list[dict[str, Any]]:
    """Return how many examples each policy met with each verdict."""
    rows = records.ask(
        "SELECT d.policy_id, d.policy_version, d.verdict, count(*) FROM examples e "
        "JOIN decisions d USING (decision) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    names = ("policy_id", "policy_version", "verdict", "num_examples")
    return [dict(zip(names, row, strict=True)) for row in rows]
