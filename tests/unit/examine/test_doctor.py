"""The doctor: nothing is changed, what is wrong is found, and the figures are those of a run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim

import gradledger as gl
from gradledger.errors import InputError
from gradledger.query import Answer, answer_from_json, answer_to_json
from gradledger.state.torch_state import rng_fingerprint, training_fingerprint


def build(seed: int = 0) -> tuple[nn.Module, optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(6, 10), nn.GELU(), nn.Dropout(0.2), nn.LayerNorm(10), nn.Linear(10, 3)
    )
    return model, optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)


def batch_of(rows: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(rows, 6, generator=generator), torch.arange(rows) % 3


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")


def codes(answer: Answer) -> set[str]:
    return {row["code"] for row in answer.table("findings").records() if row["code"]}


def test_a_plain_model_has_no_findings() -> None:
    model, optimizer = build()
    answer = gl.doctor(model, optimizer, batch_of(), loss_of, steps=100, rounds=3)
    assert answer.findings == 0
    assert answer.table("findings").rows == ()
    assert answer.facts["verdict"] == "all fine"
    assert answer.facts["books of the trial"].keys() <= {
        "balanced", "unchanged", "not testable at this precision"
    }  # fmt: skip
    cost = {row["arm"]: row for row in answer.table("cost").records()}
    assert set(cost) == {"plain", "recorded"}
    for row in cost.values():
        assert row["steps"] == 3
        assert 0 < row["lower_ms"] <= row["median_ms"] <= row["upper_ms"]
    assert cost["recorded"]["added_lower"] <= cost["recorded"]["added_percent"]


def test_everything_is_left_bit_identical() -> None:
    """Also after a step, with gradients in place, and with generators of every library."""
    model, optimizer = build()
    loss_of(model, batch_of()).mean().backward()
    optimizer.step()
    random.seed(3)
    np.random.seed(5)  # noqa: NPY002
    before = training_fingerprint(model, optimizer), rng_fingerprint()
    grads = [parameter.grad.clone() for parameter in model.parameters()]
    hooks = [len(module._forward_hooks) for module in model.modules()]
    answer = gl.doctor(model, optimizer, batch_of(), loss_of, rounds=2)
    assert answer.facts["cost"]
    assert (training_fingerprint(model, optimizer), rng_fingerprint()) == before
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        assert torch.equal(parameter.grad, grad)
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    assert not optimizer._optimizer_step_pre_hooks
    assert not any(parameter._post_accumulate_grad_hooks for parameter in model.parameters())


def test_training_after_the_doctor_is_training_without_it() -> None:
    ended = []
    for examined in (False, True):
        model, optimizer = build()
        torch.manual_seed(9)
        if examined:
            gl.doctor(model, optimizer, batch_of(), loss_of, rounds=1)
        for _ in range(4):
            loss_of(model, batch_of()).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        ended.append(training_fingerprint(model, optimizer))
    assert ended[0] == ended[1]


def test_a_loss_that_uses_the_outer_model_changes_nothing_and_is_told() -> None:
    model, optimizer = build()
    before = training_fingerprint(model, optimizer)
    answer = gl.doctor(
        model, optimizer, batch_of(), lambda _model, batch: loss_of(model, batch), rounds=1
    )
    assert training_fingerprint(model, optimizer) == before
    assert all(parameter.grad is None for parameter in model.parameters())
    assert any("no gradient reached" in row["observed"] for row in answer.rows)


class WithLooseTensor(nn.Module):
    """Owns a parameter of its own beside a layer that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(6, 3)
        self.never = nn.Linear(3, 3)

    def forward(self, values: Tensor) -> Tensor:
        return self.out(self.drop(values * self.scale))


def test_tensors_without_capture_and_without_gradient_are_named() -> None:
    model = WithLooseTensor()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    answer = gl.doctor(model, optimizer, batch_of(), loss_of, rounds=1)
    found = answer.table("findings").records()
    assert {row["effect"] for row in found} == {"limits"}
    loose = next(row for row in found if "scale" in row["observed"])
    assert "draws random numbers" in loose["observed"]
    assert "dropout" in loose["next_step"]
    unreached = next(row for row in found if "no gradient" in row["observed"])
    assert unreached["where"] == "never.weight, never.bias"
    tensors = {row["tensor"]: row["captured_as"] for row in answer.table("tensors").records()}
    assert tensors["scale"] == "none"
    assert tensors["out.weight"] == "linear"
    left_out = gl.doctor(model, optimizer, unattributed=["scale"])
    assert left_out.findings == 0, "what was left out by name is no finding"
    assert "none" in {row["captured_as"] for row in left_out.table("tensors").records()}


def test_optimizers_that_cannot_be_booked_are_refused_with_a_next_step() -> None:
    model, _ = build()
    answer = gl.doctor(model, optim.LBFGS(model.parameters()), batch_of(), loss_of)
    row = answer.rows[0]
    assert (row["effect"], row["code"], row["where"]) == ("stops", "U101", "optimizer")
    assert row["next_step"]
    assert "would be refused" in answer.notes[-1]
    other, _ = build(1)
    assert codes(gl.doctor(model, optim.SGD(other.parameters(), lr=0.1))) == {"I109"}


POLICY = """\
format: gradledger.policy/1
policy: org.example.doctor
version: "1.0.0"
attributes:
  kind: {type: string}
rules:
  - {id: all, effect: admit, when: "kind = 'a'"}
profiles:
  shallow:
    default: 0
    weights: [{blocks: "-1", weight: 1}]
  misnamed:
    default: 1
    weights: [{blocks: nowhere, weight: 0}]
assign:
  default: shallow
"""


def test_profiles_are_judged_on_this_model(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.replace('"-1"', '"4"'), encoding="utf-8")
    model, optimizer = build()
    answer = gl.doctor(model, optimizer, batch_of(), loss_of, path, rounds=1)
    judged = {row["profile"]: row["enforceable"] for row in answer.table("profiles").records()}
    assert (judged["shallow"], judged["misnamed"]) == (True, False)
    assert codes(answer) == {"P142"}
    assert answer.rows[0]["where"] == "profile misnamed"
    assert {row["arm"] for row in answer.table("cost").records()} == {"plain", "recorded", "routed"}
    coupled = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    path.write_text(POLICY.replace('"-1"', '"2"'), encoding="utf-8")
    refused = gl.doctor(coupled, optim.SGD(coupled.parameters(), lr=0.1), policy=path)
    stops = [row for row in refused.rows if row["effect"] == "stops"]
    assert ("G102", "profile shallow") in {(row["code"], row["where"]) for row in stops} or (
        "G104", "profile shallow"
    ) in {(row["code"], row["where"]) for row in stops}  # fmt: skip
    path.write_text("format: [", encoding="utf-8")
    assert codes(gl.doctor(model, optimizer, policy=path)) == {"P103"}


def test_coupled_rows_are_told_and_refuse_profiles() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    answer = gl.doctor(model, optimizer)
    assert any(row["where"] == "1" and "couple" in row["observed"] for row in answer.rows)
    assert answer.facts["coupled modules"] == ["1"]
    accepted = gl.doctor(model, optimizer, accept_coupled=True, unattributed=["1.*"])
    assert accepted.findings == 0
    model.eval()
    notes = gl.doctor(model, optimizer, unattributed=["1.*"]).notes
    assert any("training mode: 1" in note for note in notes)


class Transposed(nn.Module):
    """Reads time first, so that rows of its layer are not visits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, values: Tensor) -> Tensor:
        mixed = values + values.mean(0, keepdim=True)
        return self.layer(mixed)


def test_mixed_rows_are_found_by_the_trial() -> None:
    model = Transposed()
    answer = gl.doctor(model, optim.SGD(model.parameters(), lr=0.1), batch_of(), loss_of)
    assert codes(answer) == {"G107"}
    assert answer.rows[0]["effect"] == "stops"
    assert "cost and memory were not measured" in answer.notes[-1]


def test_a_model_that_cannot_be_copied_is_said_to_be_so() -> None:
    model, optimizer = build()
    model.last = loss_of(model, batch_of())  # not a leaf: torch refuses to copy it
    answer = gl.doctor(model, optimizer, batch_of(), loss_of)
    assert "cannot be copied" in answer.notes[-1]
    assert answer.facts["coverage"].startswith("100 %")


def test_batches_without_tensors_are_a_finding() -> None:
    model, optimizer = build()
    assert codes(gl.doctor(model, optimizer, ["text"], loss_of)) == {"I102"}


@pytest.mark.parametrize(
    "given",
    [{"batch": 1}, {"loss": loss_of}, {"rounds": 0}, {"steps": 0}],
    ids=["batch alone", "loss alone", "no rounds", "no steps"],
)
def test_bad_arguments_are_refused(given: dict[str, Any]) -> None:
    model, optimizer = build()
    with pytest.raises(InputError, match="I104"):
        gl.doctor(model, optimizer, **given)


def test_memory_and_disk_are_those_of_a_run(tmp_path: Path) -> None:
    model, optimizer = build()
    size = sum(parameter.nbytes for parameter in model.parameters())
    answer = gl.doctor(model, optimizer, batch_of(), loss_of, rounds=1, steps=50, state_every=10)
    held = {row["item"]: row["mebibytes"] * 2**20 for row in answer.table("memory").records()}
    assert held["copies of the parameters"] == pytest.approx(size)
    assert held["copies of the accumulated gradients"] == pytest.approx(size)
    assert held["copies of the momentum"] == pytest.approx(size)
    # Inputs and output gradients of two linear layers and a norm, 8 rows, float32, at least.
    assert held["captured activations and gradients"] >= 8 * 4 * (6 + 10 + 10 + 3)
    disk = {row["table"]: row for row in answer.table("disk").records()}
    run = gl.record(tmp_path / "run", model, optimizer, verify_content=False, state_every=10)
    run.admit(range(8))
    for _ in range(50):
        with run.step(batch_of(), examples=range(8)):
            loss_of(model, batch_of()).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    run.close()
    import pyarrow.parquet as pq

    for name in ("visits", "books", "steps"):
        table = pq.read_table(tmp_path / "run" / name)
        assert disk[name]["rows_per_step"] * 50 == table.num_rows
        assert disk[name]["columns"] == table.num_columns
    num_states = len(list((tmp_path / "run" / "states").iterdir()))
    name = f"model states ({num_states})"
    assert num_states == 6
    assert name in disk
    state = tmp_path / "run" / "states" / "step=50"
    stored = sum(path.stat().st_size for path in state.iterdir())
    assert disk[name]["mebibytes"] * 2**20 == pytest.approx(num_states * stored, rel=0.02)


def test_answers_survive_the_way_between_processes() -> None:
    model, optimizer = build()
    answer = gl.doctor(model, optimizer, batch_of(), loss_of, rounds=1)
    again = answer_from_json(answer_to_json(answer))
    assert again.to_dict() == answer.to_dict()
    assert str(again) == str(answer)
