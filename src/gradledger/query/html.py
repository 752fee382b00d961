"""Answers as HTML for notebooks: plain tables, every string escaped, no script.

The sheet of styles holds no character of a run and touches nothing outside the answer. Figures are
aligned on their decimal points; dark notebooks get light ink.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from gradledger.query.inert import inert
from gradledger.query.text import MAX_ROWS, fact, figures

if TYPE_CHECKING:
    from gradledger.query.answer import Answer, Table

_LIGHT: Final = "--gl-ink:#1b1f23;--gl-muted:#5d656d;--gl-rule:#d8dce0;--gl-accent:#0b6468"
_DARK: Final = "--gl-ink:#dfe4e7;--gl-muted:#96a0a7;--gl-rule:#343c42;--gl-accent:#66c7c2"

#: Jupyter marks its dark themes on the body, and so does VS Code; elsewhere the system decides.
_STYLE: Final = f"""<style>
.gradledger{{{_LIGHT};color:var(--gl-ink);font:13px/1.45 system-ui,-apple-system,"Segoe UI",
"Noto Sans","Liberation Sans",sans-serif;max-width:72rem;padding:.2rem 0 .6rem}}
@media(prefers-color-scheme:dark){{body:not([data-jp-theme-light="true"]):not(.vscode-light)
.gradledger{{{_DARK}}}}}
[data-jp-theme-light="false"] .gradledger,.vscode-dark .gradledger{{{_DARK}}}
.gradledger .gl-title{{font-size:15px;font-weight:600;margin:0 0 .1rem;line-height:1.3}}
.gradledger .gl-kind{{color:var(--gl-accent);font-size:12px;margin:0 0 .6rem}}
.gradledger dl{{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1.2rem;
margin:0 0 .4rem}}
.gradledger dt{{color:var(--gl-muted);font-weight:400}}
.gradledger dd{{margin:0;overflow-wrap:anywhere}}
.gradledger .gl-scroll{{overflow-x:auto}}
.gradledger table{{border-collapse:collapse;border:0;margin:.9rem 0 .2rem;font-size:12.5px;
font-variant-numeric:tabular-nums lining-nums;color:inherit;background:none}}
.gradledger caption{{caption-side:top;text-align:left;font-weight:600;color:var(--gl-ink);
padding:0 0 .3rem;white-space:nowrap}}
.gradledger th,.gradledger td{{padding:.18rem .7rem .18rem 0;border:0;vertical-align:top;
background:none;color:inherit;text-align:left;white-space:nowrap}}
.gradledger thead th{{color:var(--gl-muted);font-weight:500;border-bottom:1px solid var(--gl-muted);
vertical-align:bottom}}
.gradledger tbody td{{border-bottom:1px solid var(--gl-rule)}}
.gradledger tbody tr:hover td{{border-bottom-color:var(--gl-accent)}}
.gradledger .gl-n{{text-align:right;padding-left:.7rem}}
.gradledger .gl-w{{white-space:normal;min-width:14rem;max-width:36rem}}
.gradledger tr.gl-total td{{font-weight:600;border-bottom:0}}
.gradledger .gl-more,.gradledger .gl-notes{{color:var(--gl-muted);font-size:12px}}
.gradledger .gl-more{{margin:.1rem 0 0}}
.gradledger .gl-notes{{margin:.9rem 0 0;padding-left:1.1rem}}
</style>"""

#: First cell of a row that sums up the others.
_TOTAL: Final = "total"


def to_html(answer: Answer) -> str:
    """Return ``answer`` as one ``div``: title, kind, facts, tables, notes."""
    kind = f"{answer.kind}: {answer.measure}" if answer.measure else answer.kind
    parts = [
        f'<div class="gradledger">{_STYLE}',
        f'<p class="gl-title">{_safe(answer.title, 400)}</p>',
        f'<p class="gl-kind">{_safe(kind)}</p>',
    ]
    if answer.facts:
        cells = "".join(
            f"<dt>{_safe(name)}</dt><dd>{_safe(fact(value), 400)}</dd>"
            for name, value in answer.facts.items()
        )
        parts.append(f"<dl>{cells}</dl>")
    parts += [_table(table) for table in answer.tables if table.in_text]
    if answer.notes:
        notes = "".join(f"<li>{_safe(note, 600)}</li>" for note in answer.notes)
        parts.append(f'<ul class="gl-notes">{notes}</ul>')
    parts.append("</div>")
    return "".join(parts)


def _table(table: Table) -> str:
    """Return one table; pages scroll sideways, so columns left out of text are shown if narrow."""
    shown = table.rows[:MAX_ROWS]
    places = [n for n, column in enumerate(table.columns) if column.in_text or not column.is_words]
    columns = [table.columns[place] for place in places]
    classes = [
        ' class="gl-w"' if column.wraps else "" if column.is_words else ' class="gl-n"'
        for column in columns
    ]
    head = "".join(
        f'<th scope="col"{kind}>{_safe(column.header)}</th>'
        for column, kind in zip(columns, classes, strict=True)
    )
    cells = [
        figures([row[place] for row in shown], column.kind)
        for place, column in zip(places, columns, strict=True)
    ]
    body = "".join(
        ('<tr class="gl-total">' if row[0] == _TOTAL else "<tr>")
        + "".join(
            f"<td{kind}>{_safe(texts[number], 400 if 'gl-w' in kind else 120)}</td>"
            for texts, kind in zip(cells, classes, strict=True)
        )
        + "</tr>"
        for number, row in enumerate(shown)
    )
    hidden = len(table.rows) - len(shown)
    more = f'<p class="gl-more">{hidden} more rows in Arrow and JSON</p>' if hidden else ""
    if not shown:
        more = '<p class="gl-more">nothing</p>'
    caption = f"<caption>{_safe(table.title, 400)}</caption>"
    return (
        f'<div class="gl-scroll"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _safe(value: object, limit: int = 120) -> str:
    return escape(inert("-" if value is None else value, limit), quote=True)
