"""Spot checks: what an auditor draws and executes again finds each kind of fraud."""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl
from gradledger.errors import ReplayError
from gradledger.ledger import verify_run
from gradledger.verify.challenge import chance_of_finding, draw_steps

STEPS, FRAUD_AT = 9, 5
INPUTS = torch.randn(20, 4, generator=torch.Generator().manual_seed(3))
LABELS = torch.arange(20) % 3

#: Called inside a step, with the recorder, the batch that the model will see, and a point in time.
Fraud = Callable[[Any, Any, str], Any]


def build() -> tuple[nn.Module, optim.Optimizer]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.1), nn.Linear(6, 3))
    return model, optim.AdamW(model.parameters(), lr=0.02)


def honest(run: Any, fraud: Fraud | None = None) -> None:
    loader = DataLoader(run.admit(TensorDataset(INPUTS, LABELS)), 4, shuffle=True)
    while run.num_steps < STEPS:
        for batch in run.batches(loader):
            acts = fraud is not None and run.num_steps + 1 == FRAUD_AT
            with run.step(batch):
                seen = fraud(run, batch, "batch") if acts else batch
                nn.functional.cross_entropy(run.model(seen[0]), seen[1]).backward()
                if acts:
                    fraud(run, batch, "backward")
                run.optimizer.step()
                if acts:
                    fraud(run, batch, "update")
                run.optimizer.zero_grad()
            if run.num_steps == STEPS:
                return


def no_fraud(run: Any, batch: Any, at: str) -> Any:
    return batch


def tampered_contribution(run: Any, batch: Any, at: str) -> Any:
    """The books of one step praise its first visit more than it deserves."""
    if at == "batch":
        usual = run.booker.after_update

        def praising(*arguments: Any) -> Any:
            books = usual(*arguments)
            books.measures["align"][0, 0] *= np.float32(1.0001)
            run.booker.after_update = usual
            return books

        run.booker.after_update = praising
    return batch


def skipped_update(run: Any, batch: Any, at: str) -> Any:
    """The update is booked and then taken back."""
    if at == "backward":
        run.kept = [value.detach().clone() for value in run.model.parameters()]
    if at == "update":
        with torch.no_grad():
            for value, before in zip(run.model.parameters(), run.kept, strict=True):
                value.copy_(before)
    return batch


def unlogged_example(run: Any, batch: Any, at: str) -> Any:
    """One example more acts on the weights than the log knows."""
    if at == "backward":
        with run.capture.paused():
            nn.functional.cross_entropy(run.model(INPUTS[7:8]), LABELS[7:8]).backward()
    return batch


def swapped_data(run: Any, batch: Any, at: str) -> Any:
    """The model sees other data than those that were digested."""
    return [batch[0].flip(0), batch[1]] if at == "batch" else batch


FRAUDS = (tampered_contribution, skipped_update, unlogged_example, swapped_data)


def recorded(folder: Path, fraud: Fraud | None = None) -> Path:
    with gl.record(folder, *build(), state_every=3) as run:
        honest(run, fraud)
    return folder


def answered(run: Path, seed: str, steps: int) -> Path:
    paths = [run.with_name(f"{name}-{seed}.json") for name in ("challenge", "answer")]
    with gl.open(run) as ledger:
        ledger.challenge(seed, steps, out=paths[0])
        ledger.answer(paths[0], out=paths[1], build=build, train=honest)
    return paths[1]


def drawn(answer: Path) -> list[int]:
    found: list[int] = json.loads(answer.read_text())["challenge"]["steps"]
    return found


@pytest.mark.parametrize("fraud", [None, no_fraud])
def test_an_honest_run_agrees(fraud: Fraud | None, tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", fraud)
    answer = answered(run, "chosen later", 5)
    assert len(drawn(answer)) == 5
    assert verify_run(run, answer=answer).is_clean


@pytest.mark.parametrize("fraud", FRAUDS, ids=lambda fraud: fraud.__name__)
def test_every_fraud_is_found_when_its_step_is_drawn(fraud: Fraud, tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", fraud)
    assert not {f.code for f in verify_run(run).findings} & {"V874", "V875", "V876"}
    hit = next(
        answer
        for number in itertools.count()
        if FRAUD_AT in drawn(answer := answered(run, f"seed {number}", 2))
    )
    found = [f for f in verify_run(run, answer=hit).findings if f.code.startswith("V87")]
    assert found
    assert any(finding.place.startswith(f"step {FRAUD_AT}") for finding in found)


def test_an_answer_is_held_to_its_draw(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run")
    path = answered(run, "a", 4)
    answer = json.loads(path.read_text())

    def codes(change: Callable[[Any], None]) -> set[str]:
        other = json.loads(path.read_text())
        change(other)
        place = tmp_path / "changed.json"
        place.write_text(json.dumps(other))
        return {f.code for f in verify_run(run, answer=place).findings if f.code[:3] == "V87"}

    def other_steps(record: Any) -> None:
        record["challenge"]["steps"] = [1, 2, 3, 4]

    assert codes(lambda record: record["challenge"].update(seed="b")) == {"V872"}
    assert "V872" in codes(other_steps)
    assert codes(lambda record: record["challenge"]["log"].update(root="00")) == {"V872"}
    assert codes(lambda record: record["steps"].pop()) == {"V873"}
    assert codes(lambda record: record["steps"][0].update(fingerprint_after="0")) == {"V874"}
    assert codes(lambda record: record["steps"][0]["visits"].pop()) == {"V875"}
    assert codes(lambda record: record["steps"][0]["visits"][0].update(digest="00")) == {"V875"}
    assert codes(lambda record: record["steps"][0]["books"][0].update(delta_norm=1.0)) == {"V876"}
    assert codes(lambda record: record.update(format="other")) == {"V871"}
    assert codes(lambda record: record.pop("steps")) == {"V871"}
    assert answer["environment"]["torch"] == torch.__version__


def test_what_cannot_be_a_challenge(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run")
    with gl.open(run) as ledger:
        for seed, steps in (("", 3), ("a", 0)):
            with pytest.raises(ReplayError) as caught:
                ledger.challenge(seed, steps, out=tmp_path / "c.json")
            assert caught.value.code == "R146"
        (tmp_path / "c.json").write_text("{}")
        with pytest.raises(ReplayError) as caught:
            ledger.answer(tmp_path / "c.json", build=build, train=honest)
        assert caught.value.code == "R146"


@given(
    seed=st.text(max_size=9),
    root=st.text("0123456789abcdef", min_size=4, max_size=4),
    num_steps=st.integers(1, 50),
    count=st.integers(1, 60),
)
def test_a_draw_is_bound_to_seed_and_root(seed: str, root: str, num_steps: int, count: int) -> None:
    steps = draw_steps(seed, "log", 7, root, num_steps, count)
    assert steps == sorted(set(steps))
    assert len(steps) == min(count, num_steps)
    assert set(steps) <= set(range(1, num_steps + 1))
    assert steps == draw_steps(seed, "log", 7, root, num_steps, count)


def test_a_draw_is_even() -> None:
    hits = np.zeros(11)
    for number in range(3000):
        for step in draw_steps(str(number), "log", 7, "ab", 10, 2):
            hits[step] += 1
    # Each of ten steps is drawn with probability 1/5: 600 times, five deviations wide.
    assert abs(hits[1:] - 600).max() < 5 * math.sqrt(3000 * 0.2 * 0.8)


@given(num_steps=st.integers(1, 12), num_drawn=st.integers(0, 12), touched=st.integers(0, 12))
def test_the_chance_is_that_of_counting(num_steps: int, num_drawn: int, touched: int) -> None:
    num_drawn, touched = min(num_drawn, num_steps), min(touched, num_steps)
    draws = list(itertools.combinations(range(num_steps), num_drawn))
    hits = sum(any(step < touched for step in draw) for draw in draws)
    assert chance_of_finding(num_steps, num_drawn, touched) == pytest.approx(hits / len(draws))


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gradledger.cli.main import main

    sys.path.insert(0, str(Path(__file__).parent))
    run, files = recorded(tmp_path / "run"), [str(tmp_path / name) for name in ("c", "a")]
    words = [str(run), "--seed", "dice: 4 2 6", "--steps", "3", "--out", files[0]]
    assert main(["challenge", *words]) == 0
    assert "probability" in capsys.readouterr().out
    loop = ["--loop", "test_challenge:entry"]
    assert main(["answer", str(run), files[0], "--out", files[1], *loop]) == 0
    assert main(["verify", str(run), "--answer", files[1]]) == 0
    assert main(["verify", str(recorded(tmp_path / "other")), "--answer", files[1]]) == 1


def entry() -> Any:
    """What --loop names."""
    return build, honest
