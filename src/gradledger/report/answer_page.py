"""One answer as a page of its own: figures, a picture, texts side by side; it loads nothing.

The page has the sheet of styles and the policy on content that reports have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gradledger import __version__
from gradledger.query import Answer, Column, Table
from gradledger.report.draw_pairs import draw_pairs
from gradledger.report.evidence import Chart, Field, Grid
from gradledger.report.markup import Markup, breakable, join, prose, tag
from gradledger.report.numerals import numerals
from gradledger.report.style import CONTENT_POLICY, STYLE
from gradledger.segment import write_bytes_atomic

#: What each kind of answer is, for those who meet it for the first time.
_KINDS: Final[dict[str, str]] = {
    "accounting": "from the books: adds up exactly, and says nothing about causes",
    "prediction": "from a derivative: what a small change would do, drawn out to this one",
    "truth": "executed: the recorded training again, with nothing changed but what was asked",
}
_ROWS: Final = 60
_SHORT: Final = 12
#: Figures that stand in large at the head, at most.
_LARGE: Final = 4
#: Fact that is long enough to stand in the list below instead.
_WIDE: Final = 12


@dataclass(frozen=True)
class AnswerPage:
    """An answer about a run, as a page.

    Attributes:
        answer: The answer.
        run_name: Name of the run.
        run_id: Its identifier.
        final_digest: Digest of its final model; None where it was not closed.
    """

    answer: Answer
    run_name: str
    run_id: str
    final_digest: str | None = None

    def to_html(self) -> str:
        """Return the page as one HTML document, UTF-8."""
        answer = self.answer
        parts = [self._head(), *(_part(answer, table) for table in answer.tables if table.in_text)]
        notes = tag("ul", *(tag("li", prose(note)) for note in answer.notes), class_="limits")
        document = tag(
            "html",
            tag(
                "head",
                tag("meta", charset="utf-8"),
                tag("meta", http_equiv="Content-Security-Policy", content=CONTENT_POLICY),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("meta", name="referrer", content="no-referrer"),
                tag("title", f"{answer.title}: {self.run_name}"),
                tag("style", Markup(STYLE)),
            ),
            tag(
                "body",
                *parts,
                tag("section", tag("h2", "How to read this"), notes),
                tag("footer", self._binding(), class_="bind"),
            ),
            lang="en",
        )
        return f"<!doctype html>\n{document}\n"

    def write(self, path: str | Path) -> Path:
        """Write the page to a file, whole or not at all, and return its place.

        Raises:
            StorageError: The disk refuses. Code S112.
        """
        place = Path(path)
        write_bytes_atomic(place, self.to_html().encode())
        return place

    def _head(self) -> Markup:
        answer = self.answer
        facts = {name: _fact(value) for name, value in answer.facts.items()}
        large = [name for name in facts if len(facts[name]) <= _WIDE][:_LARGE]
        rest = [name for name in facts if name not in large]
        boxes = [tag("div", tag("dd", facts[name]), tag("dt", name)) for name in large]
        cells = [
            cell for name in rest for cell in (tag("dt", name), tag("dd", breakable(facts[name])))
        ]
        verdict = tag(
            "li",
            tag("strong", answer.kind.capitalize()),
            tag("div", tag("b", answer.measure), tag("span", _KINDS[answer.kind])),
        )
        return tag(
            "header",
            tag("p", "Gradledger", class_="over"),
            tag("h1", answer.title),
            tag("p", f"Run {self.run_name}", class_="lead"),
            tag("ul", verdict, class_="verdicts"),
            tag("dl", *boxes, class_="head") if boxes else None,
            tag("dl", *cells, class_="facts") if cells else None,
        )

    def _binding(self) -> Markup:
        words = [f"run {self.run_id}"]
        if self.final_digest:
            words.append(f"final model state {self.final_digest}")
        words.append(f"by gradledger {__version__}")
        return tag("p", prose(f"Bound to: {'; '.join(words)}."))


def _part(answer: Answer, table: Table) -> Markup:
    """Return a table; the changes of the model's parts with a picture, texts as they are."""
    if table.name == "texts":
        return _texts(table)
    drawn = _picture(table) if table.name == "units" and answer.kind == "truth" else None
    return tag("section", tag("h2", table.title), drawn, _table(table))


def _picture(table: Table) -> Markup | None:
    names = [column.name for column in table.columns]
    if "executed" not in names or not table.rows:
        return None
    fields = tuple(Field(column.name, column.header) for column in table.columns)
    shown = tuple(
        column.name
        for column in table.columns
        if column.kind == "share" and any(value is not None for value in _values(table, column))
    )
    if not shown or shown[0] != "executed":
        return None
    grid = Grid(table.name, table.title, fields, table.rows)
    title = "Change along D, the change over the run; estimates as rings"
    chart = Chart("pairs", title, title, grid, shown)
    return tag("figure", tag("figcaption", title), draw_pairs(chart, 1))


def _values(table: Table, column: Column) -> list[object]:
    place = table.columns.index(column)
    return [row[place] for row in table.rows]


def _table(table: Table) -> Markup:
    shown = table.rows[:_ROWS]
    columns = [n for n, column in enumerate(table.columns) if column.in_text]
    cells = [
        numerals([row[place] for row in shown], _kind(table, table.columns[place]))
        for place in columns
    ]
    heads = [
        tag("th", breakable(table.columns[place].header), _unit(table, table.columns[place]),
            scope="col", class_="w" if table.columns[place].is_words else None)
        for place in columns
    ]  # fmt: skip
    body = [
        tag("tr", *(_cell(column[n], table.columns[place])
                    for column, place in zip(cells, columns, strict=True)),
            class_="total" if row and row[0] == "total" else None)
        for n, row in enumerate(shown)
    ]  # fmt: skip
    hidden = len(table.rows) - len(shown)
    grid = tag(
        "table",
        tag("thead", tag("tr", *heads)),
        tag("tbody", *body),
        class_="short" if len(shown) <= _SHORT else None,
    )
    return join([
        tag("div", grid, class_="scroll") if shown else tag("p", "nothing", class_="note"),
        tag("p", f"{hidden} more rows in the JSON form", class_="note") if hidden else None,
    ])  # fmt: skip


def _cell(text: str, column: Column) -> Markup:
    if column.is_words:
        return tag("td", prose(text) if column.wraps else breakable(text), class_="w")
    return tag("td", text, class_="v")


def _unit(table: Table, column: Column) -> Markup | None:
    return tag("small", " [%]") if _kind(table, column) == "share" else None


def _kind(table: Table, column: Column) -> str:
    """Return how cells are written; signed figures that are no fractions stay what they are."""
    if column.is_words:
        return "text"
    return "number" if column.kind == "share" and table.name != "units" else column.kind


def _texts(table: Table) -> Markup:
    """Return the texts of both models beside each other, one pair per prompt."""
    sections = [tag("h2", table.title)]
    for row in table.records():
        pair = tag(
            "table",
            tag("thead", tag("tr", tag("th", "recorded run", class_="w", scope="col"),
                             tag("th", "executed", class_="w", scope="col"))),
            tag("tbody", tag("tr", *(tag("td", _lines(row[side]), class_="w")
                                     for side in ("recorded", "executed")))),
        )  # fmt: skip
        sections += [
            tag("h3", tag("span", _lines(row["prompt"]), class_="digest")),
            tag("div", pair, class_="scroll"),
        ]
    return tag("section", *sections)


def _lines(text: str) -> Markup:
    """Return a text with its lines and their indents kept."""
    lines = [
        join([Markup("&nbsp;" * (len(part) - len(part.lstrip(" ")))), prose(part.lstrip(" "))])
        for part in text.split("\n")
    ]
    whole: list[Markup] = []
    for part in lines:
        whole += [part, Markup("<br>")]
    return tag("span", *whole[:-1], class_="digest")


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
