"""Influence: derivatives computed once, kept beside the run, ranked, and told how far to trust."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import optim

import gradledger as gl
from gradledger.errors import QueryError, ReplayError
from gradledger.replay.adjoint import derive
from gradledger.replay.recorded import RecordedRun

sys.path.insert(0, str(Path(__file__).parent))
from whatif_oracle import make


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Any]:
    run, folder = make("adamw"), tmp_path_factory.mktemp("influence") / "run"
    run.make_optimizer = lambda p: optim.AdamW(p, lr=1e-2, eps=1e-3)
    run.recorded(folder)
    with gl.open(folder) as ledger:
        answer = ledger.influence(
            {"last": last(run)}, build=run.build, train=run.loop, removals=4, top=12
        )
    return run, folder, answer


def last(run: Any) -> Any:
    tokens = run.data().tensors[0]
    return lambda model: run.loss(model, tokens[8:]).mean()


def test_examples_are_ranked_by_their_derivative(asked: tuple[Any, Path, Any]) -> None:
    run, folder, answer = asked
    found = derive(RecordedRun(folder), run.build, run.loop, {"last": last(run)}).by_example(12)[0]
    assert answer.kind == "prediction"
    order = np.argsort(-np.abs(found))
    assert [row["example"] for row in answer.rows] == order.tolist()
    assert [row["influence"] for row in answer.rows] == pytest.approx(found[order].tolist())
    assert all(row["removed"] == -row["influence"] for row in answer.rows)


def test_progress_comes_to_its_end(tmp_path: Path) -> None:
    """Runs that are executed to judge the derivative count, and are told one by one."""
    run, ticks = make("adamw"), list[tuple[int, int]]()
    run.recorded(tmp_path / "run")
    with gl.open(tmp_path / "run") as ledger:
        ledger.influence(
            {"last": last(run)},
            build=run.build,
            train=run.loop,
            removals=1,
            progress=lambda done, total: ticks.append((done, total)),
        )
    num_steps, (done, total) = RecordedRun(tmp_path / "run").num_steps, ticks[-1]
    assert done == total
    assert [earlier for earlier, _ in ticks] == sorted(earlier for earlier, _ in ticks)
    assert [total - earlier for earlier, _ in ticks[-4:]] == [
        3 * num_steps,
        2 * num_steps,
        num_steps,
        0,
    ]


def test_sources_and_blocks_add_up(asked: tuple[Any, Path, Any]) -> None:
    _, folder, answer = asked
    whole = sum(row["influence"] for row in answer.rows)
    with gl.open(folder) as ledger:
        sources = ledger.influence("last", by="source", stored=True)
        blocks = ledger.influence("last", by="block", stored=True)
    assert sorted(row["source"] for row in sources.rows) == ["a", "b", "c", "d"]
    assert sum(row["influence"] for row in sources.rows) == pytest.approx(whole, rel=1e-9)
    assert sum(row["influence"] for row in blocks.rows) == pytest.approx(whole, rel=1e-4)
    assert [row["block"] for row in blocks.rows] == ["0", "1", "3", "4"]


def test_a_smooth_run_is_believed_for_what_it_foretells(asked: tuple[Any, Path, Any]) -> None:
    _, _, answer = asked
    assert answer.facts["runs executed to say so"] == 6
    assert answer.facts["reliable"] is True
    assert float(answer.facts["smoothness"]) > 0.9


def test_a_run_that_turns_on_signs_is_not_believed(tmp_path: Path) -> None:
    """A large rate and no eps: steps keep their size whatever the gradient, only signs count."""
    run = make("adamw")
    run.make_optimizer = lambda p: optim.AdamW(p, lr=0.3, betas=(0.0, 0.0), eps=1e-12)
    run.recorded(tmp_path / "run")
    with gl.open(tmp_path / "run") as ledger:
        answer = ledger.influence({"last": last(run)}, build=run.build, train=run.loop, removals=4)
    assert answer.facts["reliable"] is False
    assert any(note.startswith("NOT RELIABLE") for note in answer.notes)


def test_whatif_shows_prediction_and_execution_side_by_side(asked: tuple[Any, Path, Any]) -> None:
    run, folder, _ = asked
    with gl.open(folder) as ledger:
        little = {"reweight": {"source": "b"}, "factor": 0.999}
        foretold = ledger.whatif(**little, how="adjoint")
        executed = ledger.whatif(
            **little, build=run.build, train=run.loop, observe={"last": last(run)}
        )
    (row,) = executed.table("observations").records()
    assert foretold.kind == "prediction"
    (alone,) = foretold.table("observations").records()
    assert alone["adjoint"] == row["adjoint"]
    assert row["adjoint"] == pytest.approx(row["change"], rel=0.05)
    with gl.open(folder) as ledger:
        removed = ledger.whatif({"source": "b"}, how="adjoint")
        some = ledger.whatif({"source": "b"}, steps=(1, 3), how="adjoint")
        renormalised = ledger.whatif(renormalise={"source": "b"}, how="adjoint")
    (whole,) = removed.table("observations").records()
    assert whole["adjoint"] == pytest.approx(1000 * row["adjoint"])
    assert some.table("observations").records()[0]["adjoint"] != whole["adjoint"]
    assert renormalised.table("observations").records()[0]["adjoint"] != whole["adjoint"]


def test_a_removal_alone_is_calibrated_by_trials(asked: tuple[Any, Path, Any]) -> None:
    """Trials remove one example of twelve here."""
    _, folder, _ = asked
    with gl.open(folder) as ledger:
        one = ledger.whatif(2, how="adjoint")
        part = ledger.whatif(2, steps=(1, 3), how="adjoint")
        many = ledger.whatif({"source": "c"}, how="adjoint")
    (row,) = one.table("observations").records()
    assert row["low"] < row["calibrated"] < row["high"]
    assert row["calibrated"] == pytest.approx(row["adjoint"], rel=0.5)
    for other in (part, many):
        assert other.table("observations").records()[0]["calibrated"] is None
        assert any(note.startswith("no interval") for note in other.notes)


def test_what_is_not_there_or_damaged_is_named(asked: tuple[Any, Path, Any]) -> None:
    run, folder, _ = asked
    with gl.open(folder) as ledger:
        with pytest.raises(QueryError, match="Q171"):
            ledger.influence("lats", stored=True)
        with pytest.raises(QueryError, match="Q110"):
            ledger.influence({"a": last(run), "b": last(run)})
        with pytest.raises(QueryError, match="Q105"):
            ledger.influence("last", by="nothing", stored=True)
        with pytest.raises(ReplayError, match="R178"):
            ledger.influence(
                {"float": lambda model: 1.0}, build=run.build, train=run.loop, removals=0
            )
        (place,) = folder.with_name("run.replays").glob("derivatives-*")
        record = json.loads((place / "derivatives.json").read_text())
        text = (place / "derivatives.json").read_text()
        (place / "derivatives.json").write_text(json.dumps({**record, "run_id": "0"}))
        with pytest.raises(QueryError, match="Q172"):
            ledger.influence("last", stored=True)
        (place / "derivatives.json").write_text(text)


def test_what_came_after_a_stored_state_is_asked_alone(tmp_path: Path) -> None:
    run = make("adamw", record={"state_every": 4})
    run.recorded(tmp_path / "run")
    with gl.open(tmp_path / "run") as ledger:
        loop = {"build": run.build, "train": run.loop, "removals": 0}
        answer = ledger.influence({"last": last(run)}, since=4, top=12, **loop)
        again = ledger.influence("last", since=4, top=12, stored=True)
        with pytest.raises(QueryError, match="Q171"):
            ledger.influence("last", stored=True)  # What the whole run would say is another thing.
        with pytest.raises(ReplayError, match="R102"):
            ledger.influence({"last": last(run)}, since=5, **loop)
    assert "after step 4" in answer.title
    assert again.rows == answer.rows
    assert min(row["first_step"] for row in answer.rows) == 5


def test_a_difference_is_the_difference_of_derivatives(asked: tuple[Any, Path, Any]) -> None:
    run, folder, _ = asked
    tokens = run.data().tensors[0]
    first: Any = {"first": lambda model: run.loss(model, tokens[:4]).mean()}
    loop: Any = {"build": run.build, "train": run.loop, "removals": 0}
    with gl.open(folder) as ledger:
        both = {**first, "last": last(run)}
        apart = {n: ledger.influence({n: f}, **loop) for n, f in both.items()}
        difference: Any = {"gap": lambda model: first["first"](model) - last(run)(model)}
        gap = ledger.influence(difference, **loop)
    of = {n: {r["example"]: r["influence"] for r in answer.rows} for n, answer in apart.items()}
    for row in gap.rows:
        expected = of["first"][row["example"]] - of["last"][row["example"]]
        assert row["influence"] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_what_is_not_reliable_is_executed_within_a_time(tmp_path: Path) -> None:
    run = make("adamw")
    run.make_optimizer = lambda p: optim.AdamW(p, lr=0.3, betas=(0.0, 0.0), eps=1e-12)
    run.recorded(tmp_path / "run")
    loop: Any = {"build": run.build, "train": run.loop}
    with gl.open(tmp_path / "run") as ledger:
        answer = ledger.influence({"last": last(run)}, by="source", within_seconds=600.0, **loop)
        assert "not reliable" in answer.title
        rows = answer.table("executed").records()
        assert [row["source"] for row in rows] == [row["source"] for row in answer.rows]
        executed = ledger.whatif({"source": rows[0]["source"]}, observe={"last": last(run)}, **loop)
        (seen,) = executed.table("observations").records()
        assert rows[0]["executed"] == pytest.approx(seen["change"])
        none = ledger.influence("last", by="source", within_seconds=0.0)
    assert none.table("executed").records() == []
    page = ledger.page_of(answer).to_html()
    assert "NOT RELIABLE" in page
    assert "Truth: removals" in page
