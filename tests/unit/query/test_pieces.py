"""Timeline and matrix against plain loops over the vectors behind the run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_preamble import BUFFERS, DECISIONS, EXAMPLES, GROUPS, NUM_STEPS, NUM_VISITS, UNCAPTURED
from make_run import Truth, make_run

from gradledger.errors import QueryError
from gradledger.query import Records, matrix, open_records, timeline, trace
from gradledger.query.cells import OTHERS

CLOSE = {"rel": 2e-6, "abs": 1e-7}  # alignments are stored in float32
ALL = list(range(BUFFERS))
BLOCKS = {"embed": [0], "blocks.0": [1, 2], "blocks.1": [3, 4], "head": [5, 6]}


def class_of(example: int) -> str:
    return DECISIONS[EXAMPLES[example][2]][1]


def members(name: str) -> list[int]:
    return [n for n in range(len(EXAMPLES)) if class_of(n) == name]


def energy(truth: Truth, groups: list[int], examples: list[int], steps: range) -> float:
    return sum(truth.energy(g, examples, steps) for g in groups if g != UNCAPTURED)


@settings(max_examples=20, deadline=None)
@given(
    bounds=st.tuples(st.integers(1, NUM_STEPS), st.integers(1, NUM_STEPS)),
    windows=st.integers(1, 30),
)
def test_every_window_is_the_plain_sum(
    truth: Truth, records: Records, bounds: tuple[int, int], windows: int
) -> None:
    start, stop = min(bounds), max(bounds)
    answer = timeline(records, start=start, stop=stop, measure="energy", windows=windows)
    spans = list(dict.fromkeys((r["first_step"], r["last_step"]) for r in answer.rows))
    assert [s for a, b in spans for s in range(a, b + 1)] == list(range(start, stop + 1))
    assert len(spans) <= windows
    for row in answer.rows:
        steps = range(row["first_step"], row["last_step"] + 1)
        wanted = energy(truth, ALL, members(row["class"]), steps)
        assert row["value"] == pytest.approx(wanted, **CLOSE)
        whole = sum(truth.whole(g, steps) for g in ALL)
        assert row["share"] == pytest.approx(wanted / whole, **CLOSE)
        assert row["visits"] == sum(
            class_of(truth.example[s, v]) == row["class"] for s in steps for v in range(NUM_VISITS)
        )


def test_windows_of_displacement_add_up_to_the_trace(truth: Truth, records: Records) -> None:
    answer = timeline(records, by="source", windows=6)
    assert answer.measure == "displacement"
    for row in trace(records, by="source", top=50).rows:
        parts = [r["share"] for r in answer.rows if r["source"] == row["source"]]
        assert math.fsum(parts) == pytest.approx(row["share"], **CLOSE)
    total = answer.table("shares").records()[-1]
    assert total["steps"] == "total"
    assert total["visits"] == pytest.approx(
        sum(r["share"] for r in trace(records, by="source", top=50).rows), **CLOSE
    )


def test_others_hold_what_does_not_stand_alone(records: Records) -> None:
    few = timeline(records, by="source", measure="energy", windows=4, top=1)
    many = timeline(records, by="source", measure="energy", windows=4, top=50)
    assert len({row["source"] for row in few.rows}) == 2
    for window in {row["first_step"] for row in few.rows}:
        sums = [
            math.fsum(r["value"] for r in answer.rows if r["first_step"] == window)
            for answer in (few, many)
        ]
        assert sums[0] == pytest.approx(sums[1], rel=1e-12)
    assert {row["source"] for row in many.rows}.isdisjoint({OTHERS})


def test_norms_and_rules(truth: Truth, records: Records) -> None:
    answer = timeline(records, "blocks.1.attn", by="rule", measure="norm", windows=1)
    found = {row["rule"]: row["value"] for row in answer.rows}
    wanted = {"permissive": 0.0, "weak-copyleft": 0.0, "reviewed": 0.0}
    for (step, visit, group), norm in truth.norm.items():
        if group == 3:
            open_class = class_of(truth.example[step, visit]) == "open"
            for rule, credit in (
                (("permissive", 1.0),)
                if open_class
                else (("weak-copyleft", 0.5), ("reviewed", 0.5))
            ):
                wanted[rule] += credit * norm
    assert found == pytest.approx(wanted, rel=1e-5)


def test_every_cell_is_the_plain_sum(truth: Truth, records: Records) -> None:
    answer = matrix(records, measure="energy")
    steps = range(1, NUM_STEPS + 1)
    assert [row["block"] for row in answer.table("shares").records()] == [*BLOCKS, "total"]
    for row in answer.rows:
        groups = BLOCKS[row["block"]]
        wanted = energy(truth, groups, members(row["class"]), steps)
        whole = sum(truth.whole(g) for g in groups)
        assert row["share"] == pytest.approx(wanted / whole, **CLOSE)
    total = answer.table("shares").records()[-1]
    wanted = energy(truth, ALL, members("open"), steps) / sum(truth.whole(g) for g in ALL)
    assert total["class=open"] == pytest.approx(wanted, **CLOSE)
    assert total["visits"] + total["rest"] == pytest.approx(1.0)


def test_a_profile_shows_as_exact_zeros(records: Records) -> None:
    """Class copyleft has weight 0 in the two deepest blocks."""
    for measure in ("energy", "displacement", "norm"):
        cells = {
            (r["block"], r["class"]): r["value"] for r in matrix(records, measure=measure).rows
        }
        assert cells["embed", "copyleft"] == cells["blocks.0", "copyleft"] == 0.0
        assert cells["blocks.1", "copyleft"] != 0.0
        assert cells["embed", "open"] != 0.0


def test_displacement_by_group(truth: Truth, records: Records) -> None:
    answer = matrix(records, rows="group", columns="license", measure="displacement")
    names = [f"g{n}" for n in range(BUFFERS)]
    groups = {g.name: g.group for g in records.begin.groups}
    assert len(names) == len(answer.table("shares").rows) - 1
    for row in answer.rows:
        group = groups[row["group"]]
        if group == UNCAPTURED:
            assert row["share"] is None
            continue
        examples = [n for n, entry in enumerate(EXAMPLES) if entry[1] == row["license"]]
        end = truth.displacement(group)
        wanted = truth.displaced(group, examples) / float(end @ end)
        assert row["share"] == pytest.approx(wanted, **CLOSE)
    assert len(GROUPS) == len(names) - 1


def test_bad_arguments_are_refused(records: Records) -> None:
    for call in (
        lambda: timeline(records, windows=0),
        lambda: timeline(records, measure="influence"),
        lambda: matrix(records, rows="tensor"),
        lambda: matrix(records, top=0),
    ):
        with pytest.raises(QueryError, match="Q110"):
            call()
    with pytest.raises(QueryError, match="Q105"):
        matrix(records, columns="colour")
    with pytest.raises(QueryError, match="Q104"):
        timeline(records, "blocks.9")


def test_metadata_called_like_the_rows_and_hostile_values(tmp_path: Path) -> None:
    values = ["<b>", "\x1b[31m", "x" * 300, *(str(n) for n in range(9))]
    make_run(tmp_path / "run", metadata={"block": values})
    records = open_records(tmp_path / "run")
    answer = matrix(records, columns="metadata.block", measure="energy", top=5)
    assert max(len(line) for line in str(answer).splitlines()) <= 100
    assert "\x1b" not in str(answer)
    assert "<b>" not in answer._repr_html_()
    assert len(answer.to_arrow("shares").column_names) == 1 + 6 + 2
    assert np.isfinite([r["value"] for r in answer.rows if r["value"] is not None]).all()
    records.close()
