"""Capabilities against plain loops over the vectors behind the run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from make_preamble import DECISIONS, EXAMPLES, NUM_STEPS, NUM_VISITS, UNCAPTURED
from make_probes import BUFFER_NATS, RESIDUALS
from make_run import Truth, make_run

from gradledger.errors import QueryError
from gradledger.query import Records, capabilities, capability, open_records, policies
from gradledger.schema import ACCRUAL_LINES

BLOCKS = {"embed": [0], "blocks.0": [1, 2], "blocks.1": [3, 4], "head": [5, 6]}
SPANS = {(1, 20): (0, 1), (1, 10): (0,), (11, 20): (1,)}
NEAR = {"rel": 1e-9, "abs": 1e-12}


def booked(truth: Truth, examples: list[int], groups: list[int], pieces: tuple[int, ...]) -> float:
    """Nats of those examples' visits, by plain loops."""
    return sum(
        float(truth.entry[step, visit, group] @ truth.gradient[piece, group])
        for piece in pieces
        for step in range(1 + 10 * piece, 11 + 10 * piece)
        for visit in range(NUM_VISITS)
        if truth.example[step, visit] in examples
        for group in groups
        if group != UNCAPTURED
    )


def line(truth: Truth, name: str, groups: list[int], pieces: tuple[int, ...]) -> float:
    return sum(
        float(truth.lines[step, group, name] @ truth.gradient[piece, group])
        for piece in pieces
        for step in range(1 + 10 * piece, 11 + 10 * piece)
        for group in groups
    )


def change(truth: Truth, pieces: tuple[int, ...]) -> float:
    return sum(
        sum(line(truth, name, list(range(7)), (piece,)) for name in ACCRUAL_LINES)
        + RESIDUALS[piece]
        + BUFFER_NATS * piece
        for piece in pieces
    )


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("block", [None, *BLOCKS])
def test_examples_are_the_plain_sums(
    truth: Truth, records: Records, block: str | None, span: tuple[int, int]
) -> None:
    groups = BLOCKS[block] if block else list(range(7))
    pieces = SPANS[span]
    answer = capability(records, "code", group=block, start=span[0], stop=span[1], top=50)
    whole = change(truth, pieces)
    for row in answer.rows:
        expected = booked(truth, [row["example"]], groups, pieces)
        assert row["nats"] == pytest.approx(expected, **NEAR)
        assert row["share"] == pytest.approx(expected / whole, **NEAR)
    sizes = [abs(row["nats"]) for row in answer.rows]
    assert sizes == sorted(sizes, reverse=True)
    lines = {row["line"]: row["nats"] for row in answer.table("lines").records()}
    for name in ACCRUAL_LINES[1:]:
        assert lines[name] == pytest.approx(line(truth, name, groups, pieces), **NEAR)
    assert lines["curvature"] == pytest.approx(sum(RESIDUALS[p] for p in pieces), **NEAR)
    assert lines.pop("total") == pytest.approx(whole, **NEAR)
    assert math.fsum(lines.values()) == pytest.approx(whole, **NEAR)
    assert ("other groups" in lines) == (block is not None)


def test_a_cut_ranking_says_what_is_left(truth: Truth, records: Records) -> None:
    answer = capability(records, "code", top=2, order="negative")
    assert all(row["nats"] < 0 for row in answer.rows)
    lines = {row["line"]: row["nats"] for row in answer.table("lines").records()}
    everyone = booked(truth, list(range(12)), list(range(7)), (0, 1))
    assert lines["visits listed"] == pytest.approx(sum(r["nats"] for r in answer.rows), **NEAR)
    assert lines["visits listed"] + lines["other visits"] == pytest.approx(everyone, **NEAR)


def test_keys_of_data_add_up_their_examples(truth: Truth, records: Records) -> None:
    for by, key in (("source", 0), ("license", 1)):
        rows = capability(records, "code", by=by, top=50).rows
        for row in rows:
            members = [n for n, example in enumerate(EXAMPLES) if example[key] == row[by]]
            expected = booked(truth, members, list(range(7)), (0, 1))
            assert row["nats"] == pytest.approx(expected, **NEAR)
    for row in capability(records, "code", by="class", top=50).rows:
        members = [n for n, e in enumerate(EXAMPLES) if DECISIONS[e[2]][1] == row["class"]]
        expected = booked(truth, members, list(range(7)), (0, 1))
        assert row["nats"] == pytest.approx(expected, **NEAR)


def test_rules_share_a_decision_equally(truth: Truth, records: Records) -> None:
    answer = capability(records, "code", by="rule", top=50)
    found = {row["rule"]: row["nats"] for row in answer.rows}
    both = booked(truth, [5, 6, 7], list(range(7)), (0, 1))
    assert found["reviewed"] == pytest.approx(both / 2, **NEAR)
    assert found["weak-copyleft"] == pytest.approx(both / 2, **NEAR)
    assert any("split equally" in note for note in answer.notes)


@pytest.mark.parametrize("by", ["block", "group"])
def test_parts_of_the_model_add_up_to_everything_booked(
    truth: Truth, records: Records, by: str
) -> None:
    rows = capability(records, "code", by=by).rows
    total = math.fsum(row["nats"] for row in rows)
    assert total == pytest.approx(change(truth, (0, 1)) - sum(RESIDUALS), **NEAR)
    assert {row["nats"] for row in rows if row[by] == "(buffers)"} == {BUFFER_NATS}
    if by == "block":
        for row in rows:
            if row["block"] in BLOCKS:
                everyone = list(range(12))
                expected = booked(truth, everyone, BLOCKS[row["block"]], (0, 1))
                # Direct part of the group without capture stands in the visits' line too.
                expected += line(truth, ACCRUAL_LINES[0], [6], (0, 1)) * (row["block"] == "head")
                assert row["visits"] == pytest.approx(expected, **NEAR)


def test_the_list_has_settled_and_unsettled_probes(truth: Truth, records: Records) -> None:
    code, prose = capabilities(records).rows
    whole = change(truth, (0, 1))
    assert code["measured"] == pytest.approx(whole, **NEAR)
    assert code["visits"] + code["lines"] + code["residual"] == pytest.approx(whole, **NEAR)
    assert code["residual_percent"] == pytest.approx(100 * abs(sum(RESIDUALS) / whole), **NEAR)
    assert (prose["measured"], prose["visits"], prose["intervals"]) == (-0.5, None, 0)
    assert any("not settled" in note for note in capabilities(records).notes)


def test_sign_and_curvature_are_said(records: Records) -> None:
    answer = capability(records, "code")
    assert any("negative lowered it" in note for note in answer.notes)
    assert "% of the change" in answer.facts["curvature residual"]
    assert "<b>" not in answer._repr_html_()


@pytest.mark.parametrize(
    ("name", "settings", "code"),
    [
        ("cod", {}, "Q121"),
        ("prose", {}, "Q107"),
        ("code", {"stop": 9}, "Q107"),
        ("code", {"start": 2}, "Q107"),
        ("code", {"stop": 21}, "Q106"),
        ("code", {"by": "nothing"}, "Q105"),
        ("code", {"group": "tail"}, "Q104"),
        ("code", {"order": "up"}, "Q110"),
        ("code' OR true --", {}, "Q121"),
    ],
)
def test_questions_that_cannot_be_answered(
    records: Records, name: str, settings: dict[str, object], code: str
) -> None:
    with pytest.raises(QueryError) as caught:
        capability(records, name, **settings)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_policies_of_a_capability(truth: Truth, records: Records) -> None:
    answer = policies(records, "code")
    everyone = booked(truth, list(range(12)), list(range(7)), (0, 1))
    both = booked(truth, [5, 6, 7], list(range(7)), (0, 1))
    found = {row["rule"]: row for row in answer.rows}
    assert set(found) == {"permissive", "weak-copyleft", "reviewed"}
    assert found["reviewed"]["value"] == pytest.approx(both / 2, **NEAR)
    assert found["permissive"]["value"] == pytest.approx(everyone - both, **NEAR)
    assert {(row["policy"], row["version"]) for row in answer.rows} == {("house", "1.0.0")}
    (version,) = answer.table("policies").records()
    assert version["value"] == pytest.approx(everyone, **NEAR)
    assert version["admitted"] == 10
    grounds = {row["rule"]: row for row in answer.table("grounds").records()}
    assert grounds["reviewed"]["profiles"] == "shallow"
    assert set(grounds) == {"permissive", "weak-copyleft", "reviewed"}
    assert any("equal part" in note for note in answer.notes)


def test_policies_of_parameters(truth: Truth, records: Records) -> None:
    answer = policies(records, group="head")
    assert answer.measure == "displacement"
    end = sum(float(truth.displacement(g) @ truth.displacement(g)) for g in (5, 6))
    both = truth.displaced(5, [5, 6, 7]) / end
    found = {row["rule"]: row["share"] for row in answer.rows}
    assert found["reviewed"] == pytest.approx(both / 2, **NEAR)


def test_a_run_without_probes(tmp_path: Path) -> None:
    truth = make_run(tmp_path / "run", displacement=False)
    with pytest.raises(QueryError) as caught:
        capability(open_records(truth.path), "code")
    assert caught.value.code == "Q107"
    assert policies(open_records(truth.path)).measure == "energy"


def test_all_steps_of_the_run_are_used(records: Records) -> None:
    assert records.span == (1, NUM_STEPS)
