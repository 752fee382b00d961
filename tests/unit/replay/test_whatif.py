"""Interventions: the run again, with something changed about chosen examples and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradledger as gl
from gradledger.errors import ReplayError
from gradledger.segment import read_table

# Test folders are no packages: helpers are found through their folder.
sys.path.insert(0, str(Path(__file__).parent))
from whatif_oracle import BLOCKS, OPTIMIZERS, REMOVED, assert_close, executed, make, oracle, stored


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_the_empty_intervention_is_the_run_bit_for_bit(name: str, tmp_path: Path) -> None:
    run, folder = make(name), tmp_path / "run"
    run.recorded(folder)
    with gl.open(folder) as ledger:
        answer = ledger.whatif({}, build=run.build, train=run.loop)
    last, again = stored(folder / "states" / "step=9"), executed(folder)
    assert last.keys() == again.keys()
    assert all(torch.equal(last[key], again[key]) for key in last)
    assert answer.facts["same final model"] is True
    assert answer.facts["bit-identical steps"] == "9 of 9; the whole run"
    assert answer.kind == "truth"
    assert all(row["distance"] == 0 for row in answer.rows)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_removal_is_a_loop_in_which_the_loss_counts_nothing(name: str, tmp_path: Path) -> None:
    run, folder = make(name), tmp_path / "run"
    run.recorded(folder)
    with gl.open(folder) as ledger:
        answer = ledger.whatif({"source": "a"}, build=run.build, train=run.loop)
    assert_close(executed(folder), oracle(run, folder, lambda _, n: float(n not in REMOVED)))
    assert answer.facts["examples affected"] == 3
    assert answer.facts["same final model"] is False


def test_a_removal_from_a_run_that_booked_decisions_alone(tmp_path: Path) -> None:
    run, folder = make(record={"level": "decisions"}), tmp_path / "run"
    run.recorded(folder)
    with gl.open(folder) as ledger:
        ledger.whatif({"source": "a"}, build=run.build, train=run.loop)
    assert_close(executed(folder), oracle(run, folder, lambda _, n: float(n not in REMOVED)))


def test_threads_are_as_recorded_while_the_run_is_executed(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    recorded = torch.get_num_threads()
    run.recorded(folder)
    seen = []

    def train(recorder: Any) -> None:
        seen.append(torch.get_num_threads())
        run.loop(recorder)

    try:
        torch.set_num_threads(recorded + 1)
        with gl.open(folder) as ledger:
            ledger.whatif({}, build=run.build, train=train)
        assert seen == [recorded]
        assert torch.get_num_threads() == recorded + 1
    finally:
        torch.set_num_threads(recorded)


def test_a_removal_equals_a_batched_loop_with_weight_zero(tmp_path: Path) -> None:
    """The same in one backward pass: the loss of removed rows times 0, the mean over all rows."""
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    with gl.open(folder) as ledger:
        ledger.whatif({"source": "a"}, build=run.build, train=run.loop)
    visits = read_table(folder, "visits", ["step", "position", "example"]).to_pylist()
    visits.sort(key=lambda row: (row["step"], row["position"]))
    model, optimizer = run.build()
    for step in range(1, 10):
        batch = [row["example"] for row in visits if row["step"] == step]
        keep = torch.tensor([float(example not in REMOVED) for example in batch])
        (run.loss(model, run.data().tensors[0][batch]) * keep).mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert_close(executed(folder), model)


def test_a_reweighted_selection(tmp_path: Path) -> None:
    run, folder = make("sgd momentum"), tmp_path / "run"
    run.recorded(folder)
    with gl.open(folder) as ledger:
        ledger.whatif(reweight={"source": "a"}, factor=0.25, build=run.build, train=run.loop)
    assert_close(executed(folder), oracle(run, folder, lambda _, n: 0.25 if n in REMOVED else 1.0))


def test_another_profile(tmp_path: Path) -> None:
    run, folder = make("adam"), tmp_path / "run"
    run.recorded(folder)
    profile = {"0": 0.0, "1": 0.5, "3": 1.0, "4": 1.0}
    with gl.open(folder) as ledger:
        ledger.whatif(
            reprofile={"source": "a"},
            profile=[profile[block] for block in BLOCKS],
            build=run.build,
            train=run.loop,
        )
    weighted = oracle(
        run, folder, lambda name, n: profile[name.split(".")[0]] if n in REMOVED else 1.0
    )
    assert_close(executed(folder), weighted)


def test_steps_before_the_first_affected_visit_are_bit_identical(tmp_path: Path) -> None:
    run, folder = make(), tmp_path / "run"
    run.recorded(folder)
    visits = read_table(folder, "visits", ["step", "example"]).to_pylist()
    first = {row["example"]: row["step"] for row in sorted(visits, key=lambda row: -row["step"])}
    late = max(first, key=lambda example: first[example])
    assert first[late] > 1
    with gl.open(folder) as ledger:
        answer = ledger.whatif(late, build=run.build, train=run.loop)
    same, rest = answer.facts["bit-identical steps"].split(";")
    assert same == f"{first[late] - 1} of 9"
    assert rest == f" first affected visit in step {first[late]}"
    assert answer.facts["first step that differs"] == first[late]


def test_a_loop_that_is_not_the_recorded_one_is_noticed_in_the_prefix(tmp_path: Path) -> None:
    run, folder = make(clip=0.01), tmp_path / "run"
    run.recorded(folder)
    run.clip = 0.02
    with gl.open(folder) as ledger, pytest.raises(ReplayError) as caught:
        ledger.whatif({}, build=run.build, train=run.loop)
    assert caught.value.code == "R103"
    assert not folder.with_name("run.replays").exists()


def test_recorded_learning_rates_stand(tmp_path: Path) -> None:
    """A schedule that follows the loss would choose others, and change more than was asked."""
    run, folder = make("sgd"), tmp_path / "run"
    recorded: list[float] = []

    def update(model: nn.Module, optimizer: Any, tokens: Tensor) -> None:
        losses = run.loss(model, tokens)
        optimizer.param_groups[0]["lr"] = 0.05 * float(losses.detach().mean())
        recorded.append(optimizer.param_groups[0]["lr"])
        losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    run.update = update  # type: ignore[method-assign]
    run.recorded(folder)
    rates = iter(recorded[:])
    with gl.open(folder) as ledger:
        answer = ledger.whatif({"source": "a"}, build=run.build, train=run.loop)
    assert any("set as recorded" in note for note in answer.notes)
    run.clip = None
    plain = run.build

    def build() -> Any:
        model, optimizer = plain()
        optimizer.register_step_pre_hook(
            lambda opt, _args, _kwargs: opt.param_groups[0].update(lr=next(rates))
        )
        return model, optimizer

    run.build = build  # type: ignore[method-assign]
    assert_close(executed(folder), oracle(run, folder, lambda _, n: float(n not in REMOVED)))
