"""Answers as HTML for notebooks: plain tables, every string escaped, no script."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from gradledger.query.inert import inert
from gradledger.query.text import MAX_ROWS, figures

if TYPE_CHECKING:
    from gradledger.query.answer import Answer, Table

_RIGHT = ' style="text-align:right;font-variant-numeric:tabular-nums"'
_LEFT = ' style="text-align:left"'


def to_html(answer: Answer) -> str:
    """Return ``answer`` as one ``div``: title, facts, tables, notes."""
    parts = ['<div class="gradledger">', f"<p><strong>{_safe(answer.title, 400)}</strong></p>"]
    if answer.facts:
        cells = "".join(
            f"<tr><th{_LEFT}>{_safe(name)}</th><td{_LEFT}>{_safe(value, 400)}</td></tr>"
            for name, value in answer.facts.items()
        )
        parts.append(f"<table>{cells}</table>")
    parts += [_table(table) for table in answer.tables if table.in_text]
    if answer.notes:
        notes = "".join(f"<li>{_safe(note, 600)}</li>" for note in answer.notes)
        parts.append(f"<ul>{notes}</ul>")
    parts.append("</div>")
    return "".join(parts)


def _table(table: Table) -> str:
    shown = table.rows[:MAX_ROWS]
    aligned = [_LEFT if column.is_words else _RIGHT for column in table.columns]
    head = "".join(
        f"<th{align}>{_safe(column.header)}</th>"
        for column, align in zip(table.columns, aligned, strict=True)
    )
    columns = [
        figures([row[index] for row in shown], column.kind)
        for index, column in enumerate(table.columns)
    ]
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{align}>{_safe(cells[number])}</td>"
            for cells, align in zip(columns, aligned, strict=True)
        )
        + "</tr>"
        for number in range(len(shown))
    )
    hidden = len(table.rows) - len(shown)
    more = f"<p>{hidden} more rows</p>" if hidden else ""
    caption = f"<caption{_LEFT}>{_safe(table.title, 400)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _safe(value: object, limit: int = 120) -> str:
    return escape(inert("-" if value is None else value, limit), quote=True)
