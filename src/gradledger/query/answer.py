"""What every question returns: titled tables with units, notes and the kind of the answer.

An answer is data first: ``rows``, ``to_arrow``, ``to_pandas`` and ``to_dict`` give the figures in
full; text and HTML are two ways of showing the same object, with hostile content made inert.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from gradledger.errors import QueryError
from gradledger.query import html, text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from gradledger.query.plot import Picture

#: The three kinds of answer, never mixed in one: books that add up, derivatives, executed replays.
KINDS: Final[tuple[str, ...]] = ("accounting", "prediction", "truth")

_ARROW: Final[dict[str, pa.DataType]] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "share": pa.float64(),
    "number": pa.float64(),
    "flag": pa.bool_(),
}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Key in rows, Arrow tables and JSON.
        header: What is shown above it, unit included.
        kind: ``text``, ``integer``, ``share`` (signed fraction), ``number`` or ``flag``.
        in_text: False for columns that only Arrow and JSON carry, because pages are narrow.
        wraps: Whether long cells go on in the next line, in place of being cut.
    """

    name: str
    header: str
    kind: str = "text"
    in_text: bool = True
    wraps: bool = False

    @property
    def is_words(self) -> bool:
        """Whether it holds words, which may be cut on a narrow page, rather than figures."""
        return self.kind in {"text", "flag"}


@dataclass(frozen=True)
class Table:
    """A named table of an answer.

    Attributes:
        name: Key within the answer.
        title: One line above it.
        columns: Its columns, in order.
        rows: One tuple per row; ``None`` where a figure does not exist.
        in_text: False for tables that only Arrow and JSON carry, because they are long.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    in_text: bool = True

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries, keys as in ``columns``."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table: int64, float64, bool or string columns."""
        arrays, names = [], []
        for index, column in enumerate(self.columns):
            values = [row[index] for row in self.rows]
            if column.kind == "text":
                values = [None if value is None else str(value) for value in values]
            arrays.append(pa.array(values, _ARROW[column.kind]))
            names.append(column.name)
        return pa.table(arrays, names=names)


@dataclass(frozen=True)
class Answer:
    """The answer to one question on one run.

    Attributes:
        question: Method and command that gave it.
        title: The question in words, with parameter groups and steps.
        kind: ``accounting``, ``prediction`` or ``truth``.
        measure: How contributions were added up; empty where nothing was.
        facts: Single figures, by name.
        tables: The tables; the first is the main one.
        notes: Exactness, units, conventions and warnings, one sentence each.
        findings: Number of unbalanced or non-finite books met; 0 elsewhere.
    """

    question: str
    title: str
    kind: str
    measure: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    findings: int = 0

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the main table as dictionaries."""
        return self.tables[0].records() if self.tables else []

    def table(self, name: str | None = None) -> Table:
        """Return the table of that name; the main one without a name.

        Raises:
            QueryError: Q105 where the answer has no such table.
        """
        for table in self.tables:
            if name is None or table.name == name:
                return table
        known = ", ".join(table.name for table in self.tables) or "no table"
        raise QueryError("Q105", observed=repr(name), expected=known, where=self.question)

    def to_arrow(self, name: str | None = None) -> pa.Table:
        """Return one table (the main one by default) as Arrow."""
        return self.table(name).to_arrow()

    def to_pandas(self, name: str | None = None) -> Any:
        """Return one table (the main one by default) as a pandas DataFrame.

        Raises:
            QueryError: Q109 where pandas is not installed.
        """
        try:
            importlib.import_module("pandas")
        except ImportError as missing:
            raise QueryError(
                "Q109",
                observed="no module named pandas",
                expected="pandas importable",
                where="to_pandas",
                hint="install pandas, or use to_arrow() or to_dict()",
            ) from missing
        return self.to_arrow(name).to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values; figures that are not finite become ``None``."""
        return {
            "question": self.question,
            "title": self.title,
            "kind": self.kind,
            "measure": self.measure,
            "facts": plain(self.facts),
            "tables": {
                table.name: {
                    "title": table.title,
                    "headers": {column.name: column.header for column in table.columns},
                    "rows": plain(table.records()),
                }
                for table in self.tables
            },
            "notes": list(self.notes),
            "findings": self.findings,
        }

    def plot(self) -> Picture:
        """Draw the answer: a picture to ``save``, or to look at in a notebook.

        Raises:
            QueryError: Q109 where matplotlib is not installed, Q151 where this question has no
                picture or its answer holds nothing to draw.
        """
        from gradledger.query.plot import draw

        return draw(self)

    def __str__(self) -> str:
        """Return the tables as plain text, 100 columns wide."""
        return text.to_text(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield what rich prints; no string of the run is read as markup."""
        yield from text.renderables(self, options.max_width)

    def _repr_html_(self) -> str:
        return html.to_html(self)


def plain(value: Any) -> Any:
    """Return ``value`` as JSON values: mappings, lists, text, numbers, booleans or ``None``."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)
