"""Pictures: drawn from the figures of the answer, the same bytes each time, clear when missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradledger.errors import QueryError, StorageError
from gradledger.query import (
    Answer,
    Records,
    Table,
    books,
    capability,
    follow,
    info,
    matrix,
    steps,
    timeline,
    trace,
)
from gradledger.query.plot import picture, pictured
from gradledger.query.plot.registry import _DRAWINGS

QUESTIONS = {
    "books": books,
    "capability": lambda records: capability(records, "code", by="source"),
    "follow": lambda records: follow(records, {"class": "copyleft"}),
    "matrix": lambda records: matrix(records, columns="license"),
    "steps": steps,
    "timeline": lambda records: timeline(records, by="source", measure="energy", windows=5),
    "trace": lambda records: trace(records, by="source"),
}


def test_every_registered_question_is_drawn_here() -> None:
    assert set(QUESTIONS) == set(pictured())


@pytest.mark.parametrize("question", sorted(QUESTIONS))
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_pictures_are_written_the_same_each_time(
    question: str, suffix: str, records: Records, tmp_path: Path
) -> None:
    answer = QUESTIONS[question](records)
    first = answer.plot().save(tmp_path / f"a{suffix}").read_bytes()
    second = answer.plot().save(tmp_path / f"b{suffix}").read_bytes()
    assert first == second
    assert len(first) > 2000


def bars(axes: Any) -> list[float]:
    return [patch.get_height() for patch in axes.patches]


def test_the_bars_of_a_timeline_are_its_shares(records: Records) -> None:
    answer = QUESTIONS["timeline"](records)
    axes = answer.plot().figure.axes[0]
    drawn, shares = sorted(bars(axes)), sorted(row["share"] for row in answer.rows)
    assert drawn == pytest.approx(shares)
    # Positive parts stack up from zero, negative ones down from it.
    for window in {patch.get_x() for patch in axes.patches}:
        inside = [patch for patch in axes.patches if patch.get_x() == window]
        tops = [p.get_y() + p.get_height() for p in inside if p.get_height() > 0]
        assert max(tops, default=0.0) == pytest.approx(
            sum(p.get_height() for p in inside if p.get_height() > 0)
        )


def test_the_cells_of_a_matrix_are_its_shares(records: Records) -> None:
    answer = QUESTIONS["matrix"](records)
    axes = answer.plot().figure.axes[0]
    grid = np.asarray(axes.images[0].get_array().filled(np.nan)).ravel()
    wanted = [np.nan if row["share"] is None else row["share"] for row in answer.rows]
    np.testing.assert_allclose(grid, wanted)
    assert [text.get_text() for text in axes.texts].count("0") == sum(
        row["share"] == 0.0 for row in answer.rows
    )


def test_books_are_drawn_from_the_largest_ratios(records: Records) -> None:
    answer = QUESTIONS["books"](records)
    lines = {line.get_label().split(":")[0]: line.get_ydata()
             for line in answer.plot().figure.axes[0].lines}  # fmt: skip
    rows = answer.table("balance_by_step").records()
    assert len(rows) == 20
    for name in ("residual", "gap", "rounding"):
        np.testing.assert_allclose(lines[name], [row[name] for row in rows])
        largest = {row["name"]: row["ratio"] for row in answer.table("balance").records()}
        assert max(row[name] for row in rows) == pytest.approx(largest[name])


def test_steps_show_loss_and_change(records: Records) -> None:
    answer = QUESTIONS["steps"](records)
    loss, change = answer.plot().figure.axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [row["loss"] for row in answer.rows])
    np.testing.assert_allclose(
        change.lines[0].get_ydata(), [row["delta_norm"] for row in answer.rows]
    )
    assert len(loss.lines) == 2, "the step that is not finite is marked"


def test_a_notebook_gets_a_png(records: Records) -> None:
    assert QUESTIONS["trace"](records).plot()._repr_png_().startswith(b"\x89PNG")


def test_questions_without_picture_say_which_have_one(records: Records) -> None:
    with pytest.raises(QueryError, match=r"Q151.*timeline"):
        info(records).plot()
    table = steps(records).tables[0]
    blank = Table(table.name, table.title, table.columns, ())
    empty = Answer("steps", "Nothing", "accounting", tables=(blank,))
    with pytest.raises(QueryError, match="Q151"):
        empty.plot()


def test_a_bad_place_is_refused(records: Records, tmp_path: Path) -> None:
    drawn = QUESTIONS["trace"](records).plot()
    with pytest.raises(QueryError, match=r"Q110.*\.png"):
        drawn.save(tmp_path / "picture.bmp")
    with pytest.raises(StorageError, match="S112"):
        drawn.save(tmp_path / "nowhere" / "picture.png")


def test_names_of_a_run_are_not_read_as_mathematics(records: Records) -> None:
    answer = QUESTIONS["trace"](records)
    hostile = Answer(
        "trace", "$\\frac{1}{0}$ \x1b[31m", "accounting", tables=answer.tables, measure="energy"
    )
    assert hostile.plot()._repr_png_()


def test_the_registry_is_open(records: Records) -> None:
    @picture("info")
    def draw_info(answer: Answer) -> Any:
        return answer.title

    try:
        assert info(records).plot() == info(records).title
    finally:
        del _DRAWINGS["info"]


def test_without_matplotlib_the_error_names_the_extra(records: Records, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import gradledger as gl\n"
        f"answer = gl.open({str(records.path)!r}).trace()\n"
        "assert 'torch' not in sys.modules\n"
        "try: answer.plot()\n"
        "except gl.errors.QueryError as error: print(error.code, error.hint)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("Q109 pip install 'gradledger[plot]'")


def test_plotting_loads_neither_torch_nor_pyplot(records: Records) -> None:
    program = (
        "import sys, gradledger as gl\n"
        f"gl.open({str(records.path)!r}).steps().plot()._repr_png_()\n"
        "print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize("by", ["source", "example", "block", "group"])
@pytest.mark.parametrize("group", [None, "blocks.0"])
def test_the_bars_of_a_waterfall_lead_to_the_measured_change(
    by: str, group: str | None, records: Records
) -> None:
    answer = capability(records, "code", by=by, group=group, top=3)
    *parts, total = answer.plot().figure.axes[0].patches
    measured = next(
        row["nats"] for row in answer.table("lines").records() if row["line"] == "total"
    )
    assert total.get_width() == measured
    level = 0.0
    for bar in parts:
        assert bar.get_x() == pytest.approx(min(level, level + bar.get_width())) or (
            bar.get_x() == pytest.approx(level)
        )
        level += bar.get_width()
    assert level == pytest.approx(measured, rel=1e-9, abs=1e-12)
    ranked = [row["nats"] for row in answer.table("ranking").records()]
    assert [bar.get_width() for bar in parts][: len(ranked)] == pytest.approx(
        [nats for nats in ranked if nats]
    )
