"""What tells a reader which example a row of a ranking is, and who admitted it."""

from __future__ import annotations

from typing import Any

from gradledger.query.measures import numbers
from gradledger.query.ranking import Ranked
from gradledger.query.records import Records
from gradledger.query.relations import quote
from gradledger.query.selection import preferred_metadata


def example_columns(records: Records, ranked: Ranked) -> dict[str, list[Any]]:
    """Return metadata and decision of ranked examples, column by column.

    Args:
        records: The run.
        ranked: Examples, best first.
    """
    names = preferred_metadata(records)
    fields = ", ".join(f"e.{quote(name)}" for name in names)
    found = records.ask(
        f"SELECT e.example{', ' if fields else ''}{fields} FROM examples e "
        f"WHERE e.example IN ({numbers(row[0] for row in ranked.rows)})"
    )
    decided = records.ask(
        "SELECT decision, \"class\", verdict, profile, policy_id || '@' || policy_version "
        f"FROM decisions WHERE decision IN ({numbers({row[6] for row in ranked.rows})})"
    )
    of_example = {row[0]: row[1:] for row in found}
    of_decision = {row[0]: row[1:] for row in decided}
    columns: dict[str, list[Any]] = {}
    for row in ranked.rows:
        values = dict(zip(names, of_example.get(row[0], (None,) * len(names)), strict=True))
        values |= zip(
            ("class", "verdict", "profile", "policy"),
            of_decision.get(row[6], (None,) * 4),
            strict=True,
        )
        if "source" in values:  # Names mostly tell it already: the first to go on a narrow page.
            values["source"] = values.pop("source")
        for name, value in values.items():
            columns.setdefault(name, []).append(value)
    return columns
