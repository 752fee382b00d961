"""States, differences and first use, on a run that was really recorded."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import gradledger as gl
from gradledger.errors import QueryError
from gradledger.ledger import Ledger
from gradledger.replay import settle
from gradledger.segment import read_table

sys.path.insert(0, str(Path(__file__).parents[1] / "recorder"))
from conftest import OPTIMIZERS, Training, two_layer

SOURCES = {"source": ["abcd"[number % 4] for number in range(12)]}


def recorded(folder: Path, dtype: torch.dtype = torch.float32, **settings: object) -> Training:
    run = Training(
        OPTIMIZERS["adamw"],
        make_model=lambda: two_layer(dtype),
        steps=9,
        metadata=SOURCES,
        record={"state_every": 3, "on_imbalance": "flag", **settings},
    )
    run.recorded(folder)
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("states") / "run"
    run = recorded(place)
    settle(place, run.build, run.loop, [(0, 9), (0, 3), (3, 9)])
    return place


@pytest.fixture(scope="module")
def ledger(folder: Path) -> Ledger:
    return gl.open(folder)


def weights(folder: Path, step: int) -> dict[str, np.ndarray]:
    return load_file(folder / "states" / f"step={step}" / "model.safetensors")


def test_states_are_listed_and_checked(ledger: Ledger, folder: Path) -> None:
    answer = ledger.states()
    assert [row["step"] for row in answer.rows] == [0, 3, 6, 9]
    assert {row["check"] for row in answer.rows} == {"as recorded"}
    assert answer.rows[-1]["digest"] == ledger.end.final_digest
    assert answer.rows[0]["digest"] == ledger.begin.opening_balance["state_digest"]
    assert answer.findings == 0
    sizes = [file.stat().st_size for file in (folder / "states" / "step=3").iterdir()]
    assert answer.rows[1]["num_bytes"] == sum(sizes)


@pytest.mark.parametrize("name", ["model.safetensors", "rng.safetensors", "state.json"])
def test_an_altered_state_is_a_finding(name: str, tmp_path: Path) -> None:
    recorded(tmp_path / "run")
    place = tmp_path / "run" / "states" / "step=6" / name
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(bytes(content))
    with gl.open(tmp_path / "run") as ledger:
        answer = ledger.states()
        assert answer.findings == 1
        assert [row["check"] == "as recorded" for row in answer.rows] == [True, True, False, True]
        assert {row["check"] for row in ledger.states(check=False).rows} <= {
            "not checked",
            answer.rows[2]["check"],
        }


def test_states_that_changed_places_are_findings(tmp_path: Path) -> None:
    recorded(tmp_path / "run")
    states = tmp_path / "run" / "states"
    (states / "step=3").rename(states / "aside")
    (states / "step=6").rename(states / "step=3")
    (states / "aside").rename(states / "step=6")
    with gl.open(tmp_path / "run") as ledger:
        checks = [row["check"] for row in ledger.states().rows]
    assert checks[1].startswith("fingerprint is not that")
    assert checks[2].startswith("fingerprint is not that")


@pytest.mark.parametrize(("start", "stop"), [(0, 9), (3, 6)])
def test_a_difference_is_the_distance_of_the_stored_models(
    start: int, stop: int, ledger: Ledger, folder: Path
) -> None:
    before, after = weights(folder, start), weights(folder, stop)
    for row in ledger.diff(start, stop, by="group").rows[:-1]:
        names = [name for name in before if name.rpartition(".")[0] == row["group"]]
        first = np.concatenate([before[n].astype(np.float64).ravel() for n in names])
        last = np.concatenate([after[n].astype(np.float64).ravel() for n in names])
        assert row["change"] == pytest.approx(float(np.linalg.norm(last - first)), rel=1e-12)
        assert row["relative"] == pytest.approx(row["change"] / float(np.linalg.norm(first)))
        assert row["change"] <= row["path"] * (1 + 1e-6)


def test_bfloat16_states_are_compared(tmp_path: Path) -> None:
    recorded(tmp_path / "run", torch.bfloat16, level="decisions")
    from safetensors.torch import load_file as load_tensors

    before, after = (
        load_tensors(tmp_path / "run" / "states" / f"step={step}" / "model.safetensors")
        for step in (0, 9)
    )
    with gl.open(tmp_path / "run") as ledger:
        row = ledger.diff(0, 9, by="group").rows[0]
    change = (after["0.weight"].double() - before["0.weight"].double()).norm()
    assert row["change"] == pytest.approx(float(change), rel=1e-12)


def test_without_stored_states_the_books_say_how_far_the_steps_went(
    ledger: Ledger, folder: Path
) -> None:
    answer = ledger.diff(1, 3, by="group")
    assert all(row["change"] is None for row in answer.rows)
    assert any("states are stored after steps 0, 3, 6, 9" in note for note in answer.notes)
    books = read_table(folder, "books", ["step", "group", "delta_norm"]).to_pylist()
    expected = sum(b["delta_norm"] for b in books if b["group"] == 0 and b["step"] in (2, 3))
    assert answer.rows[0]["path"] == pytest.approx(expected)


def test_movers_are_those_of_trace(ledger: Ledger) -> None:
    movers = ledger.diff(3, 9).table("movers").records()
    traced = ledger.trace(start=4, stop=9, by="source", top=5).rows
    assert [row["source"] for row in movers] == [row["source"] for row in traced]
    assert [row["share"] for row in movers] == [row["share"] for row in traced]


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (5, 2), (-1, 3), (0, 10)])
def test_steps_that_are_no_interval(start: int, stop: int, ledger: Ledger) -> None:
    with pytest.raises(QueryError) as caught:
        ledger.diff(start, stop)
    assert caught.value.code == "Q106"


def test_first_use_and_the_last_clean_state(ledger: Ledger, folder: Path) -> None:
    visits = read_table(folder, "visits", ["step", "example"]).to_pylist()
    for example in range(12):
        steps = [row["step"] for row in visits if row["example"] == example]
        answer = ledger.first_use(example)
        assert answer.facts["first visit"] == f"step {min(steps)}"
        clean = max(step for step in (0, 3, 6, 9) if step < min(steps))
        assert answer.facts["last clean model state"] == f"after step {clean}"
        assert answer.facts["its digest"] == ledger.states().rows[clean // 3]["digest"]
        assert {row["first_step"] for row in answer.rows} == {min(steps)}


def test_first_use_needs_a_filter(ledger: Ledger) -> None:
    with pytest.raises(QueryError) as caught:
        ledger.first_use()
    assert caught.value.code == "Q110"
