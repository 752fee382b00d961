"""Answers as JSON and back, columns included: how one process hands an answer to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gradledger.query.answer import Answer, Column, Table, plain


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """Return everything of an answer as JSON values; figures that are not finite become None."""
    return {
        "question": answer.question,
        "title": answer.title,
        "kind": answer.kind,
        "measure": answer.measure,
        "facts": plain(answer.facts),
        "tables": [
            {
                "name": table.name,
                "title": table.title,
                "columns": [asdict(column) for column in table.columns],
                "rows": plain(table.rows),
                "in_text": table.in_text,
            }
            for table in answer.tables
        ],
        "notes": list(answer.notes),
        "findings": answer.findings,
    }


def answer_from_json(record: Mapping[str, Any]) -> Answer:
    """Return the answer that ``answer_to_json`` wrote down."""
    tables = tuple(
        Table(
            name=table["name"],
            title=table["title"],
            columns=tuple(Column(**column) for column in table["columns"]),
            rows=tuple(tuple(row) for row in table["rows"]),
            in_text=table["in_text"],
        )
        for table in record["tables"]
    )
    parts = {name: value for name, value in record.items() if name not in ("tables", "notes")}
    return Answer(**parts, tables=tables, notes=tuple(record["notes"]))
