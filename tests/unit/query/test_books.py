"""The books against sums of the vectors behind them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from make_preamble import NUM_STEPS, SIZE
from make_run import Truth

from gradledger.errors import QueryError
from gradledger.query import Records, books
from gradledger.schema import ACCRUAL_LINES, CASH_LINES

BLOCKS = {"embed": [0], "blocks.0": [1, 2], "blocks.1": [3, 4], "head": [5, 6]}


def expected(truth: Truth, groups: list[int], line: str, steps: range) -> tuple[float, float]:
    """Norm and share of one line over steps and groups."""
    keys = [(s, g) for s in steps for g in groups if truth.usable(s, g)]
    whole = sum(float(truth.delta[key] @ truth.delta[key]) for key in keys)
    dot = sum(float(truth.lines[*key, line] @ truth.delta[key]) for key in keys)
    norm = math.sqrt(sum(float(np.sum(truth.lines[*key, line] ** 2)) for key in keys))
    return norm, dot / whole


@pytest.mark.parametrize(("start", "stop"), [(1, NUM_STEPS), (6, 9), (12, 12)])
def test_every_line_of_every_block(truth: Truth, records: Records, start: int, stop: int) -> None:
    answer = books(records, start=start, stop=stop)
    rows = answer.table("lines").records()
    assert len(rows) == len(BLOCKS) * (len(CASH_LINES) + len(ACCRUAL_LINES))
    for row in rows:
        norm, share = expected(truth, BLOCKS[row["block"]], row["line"], range(start, stop + 1))
        assert row["norm"] == pytest.approx(norm, rel=1e-9)
        assert row["share"] == pytest.approx(share, rel=1e-9, abs=1e-12)
    for row in answer.table("units").records():
        assert row["sum"] == pytest.approx(1.0, abs=1e-9)
    for basis in ("cash", "accrual"):
        last = answer.table(basis).records()[-1]
        assert (last["line"], last["share"]) == ("total", pytest.approx(1.0, abs=1e-9))


def test_owners_of_the_displacement_add_to_one(truth: Truth, records: Records) -> None:
    rows = books(records, "blocks.1").table("displacement").records()
    ends = {g: truth.displacement(g) for g in (3, 4)}
    whole = sum(float(end @ end) for end in ends.values())
    for row in rows[:-1]:
        dot = sum(
            float(sum((truth.lines[s, g, row["line"]] for s in range(1, 21)), np.zeros(SIZE)) @ end)
            for g, end in ends.items()
        )
        assert row["share"] == pytest.approx(dot / whole, rel=1e-9, abs=1e-12)
    assert [row["line"] for row in rows[:-1]] == list(ACCRUAL_LINES)
    assert rows[-1]["share"] == pytest.approx(1.0, abs=1e-9)


def test_without_settled_interval_the_owners_are_left_out_by_name(records: Records) -> None:
    answer = books(records, start=2)
    assert "displacement" not in {table.name for table in answer.tables}
    assert any("not settled" in note for note in answer.notes)


def test_balance_names_the_worst_places(records: Records) -> None:
    rows = {row["name"]: row for row in books(records).table("balance").records()}
    assert (rows["residual"]["step"], rows["residual"]["group"]) == (20, "head.scale")
    assert rows["residual"]["ratio"] == pytest.approx(7.2e-8)
    assert (rows["gap"]["step"], rows["gap"]["group"]) == (20, "head.scale")
    # Ties go to the first step and the first group.
    assert (rows["rounding"]["step"], rows["rounding"]["group"]) == (1, "embed")
    units = {row["block"]: row for row in books(records).table("units").records()}
    assert units["blocks.0"]["residual_ratio"] == pytest.approx(3.2e-8)
    assert units["total"]["gap_ratio"] == pytest.approx(2.106e-6)


def test_verdicts_and_findings(records: Records) -> None:
    answer = books(records)
    assert answer.facts["verdicts"] == {"balanced": 137, "unchanged": 1, "not finite": 2}
    assert answer.findings == 2
    assert any("not finite: 2" in note for note in answer.notes)
    assert books(records, "embed").findings == 0


def test_one_step_of_unchanged_parameters(records: Records) -> None:
    answer = books(records, "blocks.0.mlp", step=4, by="group")
    assert [row["sum"] for row in answer.rows] == [None]
    assert any("inventory dominates" in note for note in answer.notes)
    with pytest.raises(QueryError, match="Q106"):
        books(records, step=0)
    with pytest.raises(QueryError, match="Q110"):
        books(records, by="tensor")


def test_groups_that_were_never_booked_are_shown_as_unchanged(records: Records) -> None:
    answer = books(records, "head (buffers)", by="group")
    assert answer.rows[0]["delta_norm"] == 0.0
    assert answer.facts["books"] == 0
