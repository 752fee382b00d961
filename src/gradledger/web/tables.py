"""A page as JSON, and one of its tables as CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Final

from gradledger.errors import WebError
from gradledger.query import Answer
from gradledger.web.page import MARKS, Page

#: Texts that begin so are read as formulas by spreadsheets.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_json(page: Page, address: str) -> bytes:
    """Return everything that a page shows as JSON, tables in full."""
    record = {
        "page": page.name,
        "title": page.title,
        "url": address,
        "commands": list(page.commands),
        "answers": {
            name: {"mark": MARKS[answer.kind], **answer.to_dict()}
            for name, answer in page.answers.items()
        },
        **page.extra,
    }
    return json.dumps(record, ensure_ascii=True, allow_nan=False, indent=1).encode()


def as_csv(page: Page, answer: str | None, table: str | None) -> bytes:
    """Return one table of a page; the first by default.

    Texts that a spreadsheet would take for a formula get an apostrophe before them.

    Raises:
        WebError: W110 where the page has no such table.
    """
    chosen = _answer(page, answer)
    names = [item.name for item in chosen.tables]
    if (table is not None and table not in names) or not names:
        raise WebError("W110", observed=repr(table), expected=" | ".join(names) or "no table")
    found = chosen.table(table)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.name for column in found.columns])
    for row in found.rows:
        writer.writerow([_safe(value) for value in row])
    return stream.getvalue().encode()


def _answer(page: Page, name: str | None) -> Answer:
    if name is None and page.answers:
        return next(iter(page.answers.values()))
    if name is None or name not in page.answers:
        expected = " | ".join(page.answers) or "no answer"
        raise WebError("W110", observed=repr(name), expected=expected, where=page.name)
    return page.answers[name]


def _safe(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
