"""Answers as data, text and HTML."""

from __future__ import annotations

import importlib.util
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gradledger.errors import QueryError
from gradledger.query import Answer, Column, Records, Table, inert, trace
from gradledger.query.text import MAX_ROWS, figures, to_text

COLUMNS = (
    Column("name", "name"),
    Column("count", "count", "integer"),
    Column("share", "share", "share"),
    Column("size", "size [m]", "number"),
    Column("ok", "ok", "flag"),
    Column("hidden", "hidden", "text", in_text=False),
)


def answer_of(*rows: tuple[object, ...]) -> Answer:
    return Answer("test", "A title", "accounting", tables=(Table("main", "Rows", COLUMNS, rows),))


def test_values_survive_every_form() -> None:
    answer = answer_of(("a", 3, 0.5, 1.25, True, "h"), (None, None, None, float("nan"), None, None))
    table = answer.to_arrow()
    assert table.schema.types == [
        pa.string(), pa.int64(), pa.float64(), pa.float64(), pa.bool_(), pa.string()
    ]  # fmt: skip
    assert table.to_pylist()[0] == answer.rows[0]
    rows = json.loads(json.dumps(answer.to_dict(), allow_nan=False))["tables"]["main"]["rows"]
    assert rows[0]["hidden"] == "h"
    assert rows[1]["size"] is None
    with pytest.raises(QueryError, match="Q105"):
        answer.table("other")


@pytest.mark.skipif(importlib.util.find_spec("pandas") is not None, reason="pandas is installed")
def test_without_pandas_the_error_says_what_else_there_is() -> None:
    with pytest.raises(QueryError, match=r"Q109.*\n.*to_arrow"):
        answer_of().to_pandas()


def test_text_is_aligned_and_free_of_trailing_blanks() -> None:
    text = str(answer_of(("a", 3, 0.5, 1.25, True, "h"), ("bb", 12345, -0.25, 10.5, False, "h")))
    lines = text.splitlines()
    assert lines[0] == "A title"
    first, second = lines[-2:]
    assert first.index("+0.5000") == second.index("-0.2500")
    assert first.rindex("1.25") + 1 == second.rindex("10.50") + 2
    assert "12 345" in second
    assert "hidden" not in text
    assert all(line == line.rstrip() for line in lines)


def test_long_tables_are_cut_in_text_only() -> None:
    answer = answer_of(*((str(n), n, 0.0, 0.0, True, "") for n in range(500)))
    text = str(answer)
    assert f"{500 - MAX_ROWS + 1} more rows" in text
    assert " 499 " in text
    assert len(answer.to_dict()["tables"]["main"]["rows"]) == 500


@given(st.lists(st.one_of(st.none(), st.floats()), min_size=1, max_size=8))
def test_figures_of_one_column_line_up(values: list[float | None]) -> None:
    for kind in ("share", "number"):
        cells = figures(values, kind)
        points = {len(cell) - cell.index(".") for cell in cells if "." in cell and "e" not in cell}
        assert len(points) <= 1
        assert [cell == "-" for cell in cells] == [value is None for value in values]


@given(st.text(max_size=300), st.integers(8, 60))
def test_inert_text_is_one_bounded_line_of_visible_characters(value: str, limit: int) -> None:
    shown = inert(value, limit)
    assert len(shown) <= limit
    assert shown.isprintable()


@given(st.text(max_size=200))
def test_html_escapes_and_text_holds_100_columns(value: str) -> None:
    hostile = f"<img src=x onerror=1>{value}\x1b[31m[red]"
    answer = Answer(
        "test",
        hostile,
        "accounting",
        facts={hostile: hostile},
        tables=(Table("main", hostile, (Column("a", hostile),), ((hostile,),)),),
        notes=(hostile,),
    )
    page = answer._repr_html_()
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\x1b" not in to_text(answer)


@pytest.mark.parametrize("width", [60, 80, 90, 140])
def test_figures_are_whole_at_every_width(records: Records, width: int) -> None:
    answer = trace(records, top=3)
    console = Console(width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(answer)
    page = capture.get()
    assert max(len(line) for line in page.splitlines()) <= width
    for header in ("example", "displ. share", "visits", "|grad|", "first", "last"):
        assert header in page
    for row in answer.rows:
        assert f"{row['share']:+.4f}" in page
    assert ("not on a page this narrow" in page) == (width <= 90)
