"""Backward traces against plain loops over the vectors behind the run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_preamble import DECISIONS, EXAMPLES, NUM_STEPS, NUM_VISITS, UNCAPTURED
from make_run import Truth, make_run

from gradledger.errors import QueryError
from gradledger.query import ORDERS, Records, measures, open_records, trace

BLOCKS = {
    "embed": [0],
    "blocks.0": [1, 2],
    "blocks.1": [3, 4],
    "head": [5, 6],
    None: list(range(7)),
}
CLOSE = {"rel": 2e-6, "abs": 1e-7}  # alignments are stored in float32


def expected_energy(
    truth: Truth, groups: list[int], examples: list[int], start: int, stop: int
) -> float:
    steps = range(start, stop + 1)
    captured = [g for g in groups if g != UNCAPTURED]
    return sum(truth.energy(g, examples, steps) for g in captured) / sum(
        truth.whole(g, steps) for g in groups
    )


@settings(max_examples=25, deadline=None)
@given(
    block=st.sampled_from(list(BLOCKS)),
    bounds=st.tuples(st.integers(1, NUM_STEPS), st.integers(1, NUM_STEPS)),
)
def test_energy_by_example_is_the_plain_sum(
    truth: Truth, records: Records, block: str | None, bounds: tuple[int, int]
) -> None:
    start, stop = min(bounds), max(bounds)
    answer = trace(records, block, start=start, stop=stop, measure="energy", top=100)
    seen = {truth.example[s, v] for s in range(start, stop + 1) for v in range(NUM_VISITS)}
    assert {row["example"] for row in answer.rows} == seen
    for row in answer.rows:
        wanted = expected_energy(truth, BLOCKS[block], [row["example"]], start, stop)
        assert row["share"] == pytest.approx(wanted, **CLOSE)
        steps = [s for (s, v), e in truth.example.items()
                 if e == row["example"] and start <= s <= stop]  # fmt: skip
        assert (row["visits"], row["first_step"], row["last_step"]) == (
            len(steps), min(steps), max(steps)
        )  # fmt: skip
    total = answer.table("lines").records()[-1]
    assert total["line"] == "total"
    assert total["share"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("stop", [NUM_STEPS, NUM_STEPS // 2])
@pytest.mark.parametrize("block", BLOCKS)
def test_displacement_is_the_default_where_it_was_settled(
    truth: Truth, records: Records, block: str | None, stop: int
) -> None:
    answer = trace(records, block, stop=stop, top=100)
    assert answer.measure == "displacement"
    groups = BLOCKS[block]
    ends = [truth.displacement(g, 0, stop) for g in groups]
    whole = sum(float(end @ end) for end in ends)
    for row in answer.rows:
        moved = sum(truth.displaced(g, [row["example"]], stop) for g in groups if g != UNCAPTURED)
        assert row["share"] == pytest.approx(moved / whole, rel=1e-9, abs=1e-12)
    shares = {row["line"]: row["share"] for row in answer.table("lines").records()}
    assert shares.pop("total") == pytest.approx(1.0, abs=1e-9)
    assert math.fsum(shares.values()) == pytest.approx(1.0, abs=1e-9)


def test_norm_is_the_sum_of_norms_over_the_groups(truth: Truth, records: Records) -> None:
    answer = trace(records, "blocks.1", measure="norm", top=100)
    sums = dict.fromkeys(range(10), 0.0)
    squares = dict.fromkeys(range(10), 0.0)
    for (step, visit), example in truth.example.items():
        square = truth.norm[step, visit, 3] ** 2 + truth.norm[step, visit, 4] ** 2
        sums[example] += math.sqrt(square)
        squares[example] += square
    for row in answer.rows:
        assert row["value"] == pytest.approx(sums[row["example"]], rel=1e-6)
        rms = math.sqrt(squares[row["example"]] / row["visits"])
        assert row["gradient_norm"] == pytest.approx(rms, rel=1e-6)
    assert math.fsum(row["share"] for row in answer.rows) == pytest.approx(1.0)
    assert [table.name for table in answer.tables] == ["ranking"]


@pytest.mark.parametrize(
    ("by", "key_of"),
    [
        ("source", lambda e: EXAMPLES[e][0]),
        ("license", lambda e: EXAMPLES[e][1]),
        ("metadata.license", lambda e: EXAMPLES[e][1]),
        ("class", lambda e: DECISIONS[EXAMPLES[e][2]][1]),
        ("profile", lambda e: DECISIONS[EXAMPLES[e][2]][2]),
        ("verdict", lambda e: DECISIONS[EXAMPLES[e][2]][0]),
        ("policy", lambda e: "house@1.0.0"),
    ],
)
def test_keys_roll_up(truth: Truth, records: Records, by: str, key_of) -> None:
    answer = trace(records, "head", measure="energy", by=by)
    wanted: dict[str | None, list[int]] = {}
    for example in range(10):
        wanted.setdefault(key_of(example), []).append(example)
    assert {row[by] for row in answer.rows} == set(wanted)
    for row in answer.rows:
        share = expected_energy(truth, [5, 6], wanted[row[by]], 1, NUM_STEPS)
        assert row["share"] == pytest.approx(share, **CLOSE)


def test_rules_share_the_credit_of_a_decision(truth: Truth, records: Records) -> None:
    answer = trace(records, "blocks.1", measure="energy", by="rule")
    shares = {row["rule"]: row["share"] for row in answer.rows}
    assert set(shares) == {"permissive", "weak-copyleft", "reviewed"}
    copyleft = expected_energy(truth, [3, 4], [5, 6, 7], 1, NUM_STEPS)
    assert shares["reviewed"] == pytest.approx(copyleft / 2, **CLOSE)
    assert shares["weak-copyleft"] == shares["reviewed"]
    assert [row["rule"] for row in answer.rows[1:]] == ["reviewed", "weak-copyleft"]
    assert any("split equally" in note for note in answer.notes)


@pytest.mark.parametrize("order", ORDERS)
def test_orders(records: Records, order: str) -> None:
    every = {r["example"]: r["share"] for r in trace(records, "embed", top=100).rows}
    shares = [r["share"] for r in trace(records, "embed", top=4, order=order).rows]
    wanted = {
        "size": sorted(every.values(), key=abs, reverse=True),
        "signed": sorted(every.values(), reverse=True),
        "positive": sorted((s for s in every.values() if s > 0), reverse=True),
        "negative": sorted(s for s in every.values() if s < 0),
    }[order][:4]
    assert shares == wanted
    lines = trace(records, "embed", top=4, order=order).table("lines").records()
    assert lines[0]["share"] == pytest.approx(sum(shares))
    assert lines[-1]["share"] == pytest.approx(1.0)


def test_weight_zero_is_a_share_of_exactly_zero_and_ties_go_by_number(records: Records) -> None:
    rows = trace(records, "blocks.0", measure="energy", top=100).rows
    assert [row["example"] for row in rows[-3:]] == [5, 6, 7]
    assert all(row["share"] == 0.0 and row["gradient_norm"] == 0.0 for row in rows[-3:])


def test_unchanged_parameters_have_no_shares(records: Records) -> None:
    answer = trace(records, "blocks.0.mlp", start=4, stop=4, measure="energy")
    assert {row["share"] for row in answer.rows} == {None}
    assert {row["share"] for row in answer.table("lines").records()} == {None}
    assert any("did not change" in note for note in answer.notes)
    assert "nan" not in str(answer).lower()


def test_missing_alignments_are_counted_and_said(records: Records) -> None:
    notes = " ".join(trace(records, "embed", measure="energy").notes)
    assert "1 visits lack a finite value" in notes
    assert "lack" not in " ".join(trace(records, "blocks.0", measure="energy").notes)


def test_contributions_that_no_visit_holds_are_a_line(records: Records) -> None:
    lines = trace(records, "embed", measure="energy").table("lines").records()
    assert "visits not split" in {row["line"] for row in lines}
    lines = trace(records, "blocks.0", measure="energy").table("lines").records()
    assert "visits not split" not in {row["line"] for row in lines}


def test_default_falls_back_to_energy_and_says_so(tmp_path: Path, records: Records) -> None:
    answer = trace(records, "head", start=2)
    assert answer.measure == "energy"
    assert any("not settled for steps 2 to 20" in note for note in answer.notes)
    plain = open_records(make_run(tmp_path / "run", displacement=False).path)
    answer = trace(plain)
    assert answer.measure == "energy"
    assert any("not settled for this run" in note for note in answer.notes)
    with pytest.raises(QueryError, match="Q107"):
        trace(plain, measure="displacement")


def test_groups_without_capture_and_runs_without_shares_say_what_to_do(
    tmp_path: Path, records: Records
) -> None:
    with pytest.raises(QueryError, match="hint: see books"):
        trace(records, "head.scale", measure="energy")
    bare = open_records(make_run(tmp_path / "run", displacement=False, level="decisions").path)
    with pytest.raises(QueryError, match="record with level='shares'"):
        trace(bare)


def test_same_question_same_bits(truth: Truth) -> None:
    answers = [trace(open_records(truth.path), by="source", measure="energy") for _ in range(3)]
    assert answers[0].to_dict() == answers[1].to_dict() == answers[2].to_dict()


def test_uniform_factors_take_the_short_form_to_the_same_answer(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The factor differs per group here; forced to be equal, both forms must agree."""
    run = make_run(tmp_path / "run")
    for part in (run.path / "books").glob("*.parquet"):
        table = pq.read_table(part)
        place = table.column_names.index("cash_factor")
        column = pa.array(0.1 + 0.001 * np.asarray(table["step"]))
        pq.write_table(table.set_column(place, "cash_factor", column), part)
    records = open_records(run.path)
    short = trace(records, "blocks.0", measure="energy", by="source").rows
    monkeypatch.setattr(measures, "is_uniform", lambda scope, groups: False)
    long = trace(records, "blocks.0", measure="energy", by="source").rows
    for one, other in zip(short, long, strict=True):
        assert one["source"] == other["source"]
        assert one["share"] == pytest.approx(other["share"], rel=1e-12)


def test_a_second_settling_does_not_mix_with_the_first(tmp_path: Path) -> None:
    """Interval numbers restart with every settling pass; steps tell the intervals apart."""
    run = make_run(tmp_path / "run")
    wanted = trace(open_records(run.path), "embed").rows
    for table in ("visits", "lines"):
        for number, part in enumerate(sorted((run.path / "displacement" / table).iterdir())):
            rows = pq.read_table(part)
            later = rows.filter(pc.equal(rows["stop_step"], NUM_STEPS // 2))
            zeros = pa.array([0] * later.num_rows, pa.int64())
            later = later.set_column(0, "interval", zeros)
            pq.write_table(later, part.with_name(f"part-{100 + number:06d}.parquet"))
    assert trace(open_records(run.path), "embed").rows == wanted
