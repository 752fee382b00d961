"""Looking around: examples, visits, effects, progress, two runs, copies that change no bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_run import Truth, make_run

import gradledger as gl
from gradledger.errors import QueryError
from gradledger.ledger import list_runs
from gradledger.segment import AppendLog


@pytest.fixture
def ledger(truth: Truth):
    with gl.open(truth.path) as opened:
        yield opened


def test_examples_are_listed_searched_and_turned(ledger) -> None:
    every = ledger.examples(top=100)
    assert every.facts["examples"] == len(every.rows) == 12
    turned = ledger.examples(top=5, skip=5)
    assert [row["example"] for row in turned.rows] == [5, 6, 7, 8, 9]
    found = ledger.examples(search="PKG:C")
    assert [row["example"] for row in found.rows] == [5, 6, 7]
    refused = ledger.examples({"verdict": "deny"})
    assert [row["verdict"] for row in refused.rows] == ["deny"]
    with pytest.raises(QueryError, match="Q110"):
        ledger.examples(top=0)


def test_search_takes_no_pattern(ledger) -> None:
    assert not ledger.examples(search="%").rows
    assert not ledger.examples(search="' OR true --").rows


def test_one_example_is_described(ledger) -> None:
    answer = ledger.describe(10)
    assert answer.facts["verdict"] == "deny"
    assert {row["column"]: row["value"] for row in answer.rows}["license"] == "GPL-3.0-only"
    with pytest.raises(QueryError, match="Q108"):
        ledger.describe(99)


def test_visits_are_those_of_the_run(ledger, truth: Truth) -> None:
    for example in range(12):
        shown = [(row["step"], row["position"]) for row in ledger.visits(example).rows]
        wanted = sorted(place for place, found in truth.example.items() if found == example)
        assert shown == wanted
    assert len(ledger.visits(start=3, stop=4).rows) == 8


def test_effects_add_up_to_what_is_booked(ledger) -> None:
    booked = {row["name"]: row["visits"] for row in ledger.capabilities().rows}
    parts = [ledger.effects(example).rows for example in range(10)]
    for place, row in enumerate(parts[0]):
        total = sum(part[place]["nats"] for part in parts)
        assert total == pytest.approx(booked[row["capability"]], rel=1e-9)


def test_effects_agree_with_the_ranking_of_a_capability(ledger) -> None:
    ranked = {row["example"]: row["nats"] for row in ledger.capability("code", top=20).rows}
    for example, nats in ranked.items():
        found = {row["capability"]: row["nats"] for row in ledger.effects(example).rows}
        assert found["code"] == pytest.approx(nats, rel=1e-12)


def test_rules_share_the_effect_of_a_decision(ledger) -> None:
    one, other, both = (
        ledger.effects(where=where).rows[0]["nats"]
        for where in ({"rule": "weak-copyleft"}, {"rule": "reviewed"}, {"profile": "shallow"})
    )
    assert one == pytest.approx(other, rel=1e-12)
    assert one + other == pytest.approx(both, rel=1e-12)


QUESTIONS = {
    "follow": lambda ledger, where: ledger.follow(where=where),
    "follow by group": lambda ledger, where: ledger.follow(where=where, by="group"),
    "effects": lambda ledger, where: ledger.effects(where=where),
    "visits": lambda ledger, where: ledger.visits(where=where),
    "first use": lambda ledger, where: ledger.first_use(where=where),
}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("where", [{"example": 3}, {"source": "pkg:a"}, {"license": None}])
def test_sorted_copies_change_no_bit(name: str, where, truth: Truth, tmp_path: Path) -> None:
    with gl.open(truth.path, copies=tmp_path) as first:
        assert first.sort_copies().is_file()
    with gl.open(truth.path, copies=tmp_path) as copied, gl.open(truth.path) as plain:
        assert copied._records.sorted_relations
        assert not plain._records.sorted_relations
        asked = QUESTIONS[name]
        assert asked(copied, where).to_dict() == asked(plain, where).to_dict()


def test_copies_of_other_files_are_not_used(truth: Truth, tmp_path: Path) -> None:
    with gl.open(truth.path, copies=tmp_path) as first:
        place = first.sort_copies()
    run = make_run(tmp_path / "run")
    with gl.open(run.path, copies=tmp_path) as other:
        assert not other._records.sorted_relations
    place.write_bytes(b"no copy")
    with gl.open(truth.path, copies=tmp_path) as damaged:
        assert not damaged._records.sorted_relations
        assert damaged.follow(3).rows
    with gl.open(truth.path) as without, pytest.raises(QueryError, match="Q110"):
        without.sort_copies()


def test_progress_reads_what_is_not_sealed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", closed=False)
    with gl.open(run.path) as ledger:
        assert ledger.progress().facts["steps booked"] == 20
    log = AppendLog(run.path / "wal" / "session-0000.log")
    row = {"visits": 4, "loss": 2.5, "wall_seconds": 0.5, "record_seconds": 0.1}
    for step in (20, 21, 22):
        log.append({"kind": "intent", "step": step})
        log.append({"kind": "commit", "step": step, "row": {**row, "step": step}}, b"x" * 100)
    log.append({"kind": "intent", "step": 23})
    log.close()
    with (run.path / "wal" / "session-0000.log").open("ab") as torn:
        torn.write(b"00000000 00000100 00000000")
    with gl.open(run.path) as ledger:
        answer = ledger.progress(buckets=1000)
    assert answer.facts["steps booked"] == 22
    assert answer.facts["of these sealed"] == 20
    assert answer.rows[-1]["loss"] == 2.5
    assert answer.rows[-1]["sealed"] is False
    assert answer.rows[-1]["examples_per_second"] == 8.0


def test_pieces_of_time_are_at_most_so_many(ledger) -> None:
    for buckets in (1, 3, 7, 20, 500):
        rows = ledger.progress(buckets).rows
        assert len(rows) <= buckets
        assert rows[-1]["last_step"] == 20
        assert sum(row["visits"] for row in rows) == 80
    with pytest.raises(QueryError, match="Q110"):
        ledger.progress(0)


def test_a_run_compared_with_itself_is_the_same(ledger) -> None:
    answer = ledger.compare(ledger)
    assert answer.facts == {
        "same run": True,
        "same opening state": False,  # none was recorded
        "same final model": True,
    }
    assert not answer.table("settings").rows
    assert all(row["difference"] in {0.0, None} for row in answer.table("classes").records())


def test_what_differs_between_two_runs_is_named(ledger, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", displacement=False)
    begin = json.loads((other.path / "run.json").read_text())
    begin["run_id"], begin["optimizer"]["lr"] = "f" * 32, 0.5
    (other.path / "run.json").write_text(json.dumps(begin))
    with gl.open(other.path) as second:
        rows = {row["setting"]: row for row in ledger.compare(second).table("settings").records()}
    assert rows["optimizer.lr"] == {"setting": "optimizer.lr", "a": "0.001", "b": "0.5"}
    assert "run_id" not in rows


def test_runs_are_listed_with_the_damaged_ones(truth: Truth, tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    rows = {row["run"]: row for row in list_runs(tmp_path).rows}
    assert rows["good"]["state"] == "closed"
    assert rows["bad"]["state"].startswith("damaged")
    assert list_runs(tmp_path).facts["damaged"] == 1


def test_first_steps_are_those_of_what_it_changed(ledger) -> None:
    """First use reads only norms of gradients; following reads everything: the same steps."""
    for where in ({"class": "copyleft"}, {"source": "pkg:a"}, {"license": "MIT"}, {"example": 3}):
        try:
            followed = ledger.follow(where=where).table("where").records()
        except QueryError:
            continue
        used = ledger.first_use(where=where)
        first = {row["block"]: row["first_step"] for row in followed if row["block"] != "total"}
        assert {row["block"]: row["first_step"] for row in used.rows} == first
        total = next(row for row in followed if row["block"] == "total")
        assert used.facts["first step in which they acted"] == total["first_step"]


def test_a_plan_tells_what_executing_takes(ledger, truth: Truth) -> None:
    found = [place for place, example in truth.example.items() if example == 3]
    answer = ledger.plan({"remove": {"example": 3}})
    (row,) = answer.rows
    assert (row["examples"], row["visits"]) == (1, len(found))
    assert row["first_step"] == min(step for step, _ in found)
    assert answer.facts["first affected visit"] == f"step {row['first_step']}"
    last = ledger.span[1]
    held = ledger.plan({"remove": {"example": 3}, "steps": [last, last]})
    assert held.rows[0]["visits"] == sum(step == last for step, _ in found)
    several = ledger.plan({"remove": {"example": 3}}, {"reweight": {"example": 4}, "factor": 2.0})
    assert [row["operation"] for row in several.rows] == ["remove", "reweight"]
    nothing = ledger.plan({"remove": {}})
    assert nothing.facts["steps to execute"] == last
    with pytest.raises(QueryError, match="Q108"):
        ledger.plan({"remove": {"example": 99}})
