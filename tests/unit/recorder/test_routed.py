"""Depth profiles are enforced: per example and block, bit-exact at weight zero."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import gradledger as gl
from gradledger.errors import GradientError, PolicyError
from gradledger.segment import read_table

POLICY = """
format: gradledger.policy/1
policy: test.depth
version: "1"
attributes:
  source: {type: string}
rules:
  - {id: known, effect: admit, when: "source IN ('deep', 'shallow', 'half')"}
classes:
  - {id: deep, when: "source = 'deep'"}
  - {id: shallow, when: "source = 'shallow'"}
  - {id: half, when: "source = 'half'"}
profiles:
  full: {default: 1}
  shallow: {default: 1, weights: [{blocks: "0", weight: 0}, {blocks: "1", weight: 0}]}
  half: {default: 1, weights: [{blocks: "1", weight: 0.5}]}
assign:
  default: full
  by:
    - {class: shallow, profile: shallow}
    - {class: half, profile: half}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Full, shallow and half depth by source."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


SOURCES = ["deep", "shallow", "half"] * 4


def one_step(run: Any, folder: Path, policy: Path, tokens: torch.Tensor) -> nn.Module:
    """One recorded step on all twelve examples in order."""
    model, optimizer = run.build()
    with gl.record(folder, model, optimizer, policy=policy, on_imbalance="strict") as recorder:
        dataset = [{"tokens": row} for row in tokens]
        recorder.admit(dataset, {"source": SOURCES})
        batch = {"tokens": tokens}
        with recorder.step(batch, examples=range(12)):
            run.loss(model, tokens).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    return model


def test_booked_gradients_are_weighted(
    make_optimizer: Any, training: Any, tmp_path: Path, policy: Path
) -> None:
    run = training(make_optimizer)
    tokens = run.data().tensors[0]
    one_step(run, tmp_path / "run", policy, tokens)
    visits = read_table(tmp_path / "run", "visits").to_pydict()
    model, _ = run.build()
    for row in range(12):
        model.zero_grad()
        (run.loss(model, tokens[row : row + 1]).sum() / 12).backward()
        norm = float(torch.cat([p.grad.flatten() for p in model[1].parameters()]).norm())
        weight = {"deep": 1.0, "shallow": 0.0, "half": 0.5}[SOURCES[row]]
        assert visits["gnorm_1"][row] == pytest.approx(weight * norm, rel=1e-4)
        if weight == 0:
            assert visits["gnorm_1"][row] == 0.0
            assert visits["align_1"][row] == 0.0
    routed = read_table(tmp_path / "run", "books").to_pydict()
    assert [routed["routed"][routed["group"].index(group)] for group in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert max(routed["gap_ratio"]) < 1e-5


def test_content_of_zero_weight_examples_cannot_reach_a_group(
    make_optimizer: Any, training: Any, tmp_path: Path, policy: Path
) -> None:
    """Change what shallow examples say: blocks 0 and 1 end bitwise equal, later blocks do not."""
    run = training(make_optimizer)
    tokens = run.data().tensors[0]
    before = one_step(run, tmp_path / "a", policy, tokens)
    for trial in range(5):
        changed = tokens.clone()
        generator = torch.Generator().manual_seed(trial)
        for row, source in enumerate(SOURCES):
            if source == "shallow":
                changed[row] = torch.randint(0, 13, (7,), generator=generator)
        after = one_step(run, tmp_path / f"b{trial}", policy, changed)
        for block in (0, 1):
            pairs = zip(before[block].parameters(), after[block].parameters(), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)
        assert not torch.equal(before[4].weight, after[4].weight)


def test_a_shared_tensor_takes_the_smallest_weight(
    adamw: Any, training: Any, tmp_path: Path, policy: Path
) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.stack = nn.ModuleList([nn.Embedding(13, 6), nn.Linear(6, 6), nn.Linear(6, 13)])
            self.stack[2].weight = self.stack[0].weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.stack:
                x = layer(x)
            return x

    renamed = tmp_path / "tied.yaml"
    renamed.write_text(
        POLICY.replace('blocks: "0"', 'blocks: "stack.0"').replace(
            'blocks: "1"', 'blocks: "stack.1"'
        )
    )
    run = training(adamw, make_model=Tied)
    tokens = run.data().tensors[0]
    one_step(run, tmp_path / "run", renamed, tokens)
    visits = read_table(tmp_path / "run", "visits").to_pydict()
    shallow = [row for row, source in enumerate(SOURCES) if source == "shallow"]
    assert all(visits["gnorm_0"][row] == 0.0 for row in shallow)
    assert all(visits["gnorm_0"][row] > 0.0 for row in range(12) if row not in shallow)


def test_batch_normalisation_refuses_profiles(
    adamw: Any, training: Any, tmp_path: Path, policy: Path
) -> None:
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(7, 8), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))

    run = training(adamw, make_model=model)
    net, optimizer = run.build()
    dataset = [torch.randn(7) for _ in range(12)]
    before = [value.clone() for value in net.parameters()]
    with gl.record(tmp_path / "run", net, optimizer, policy=policy) as recorder:
        with pytest.raises(GradientError) as caught:
            recorder.admit(dataset, {"source": SOURCES})
        assert caught.value.code == "G102"
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_a_limited_block_without_capture_is_refused(
    adamw: Any, training: Any, tmp_path: Path, policy: Path
) -> None:
    run = training(adamw)
    model, optimizer = run.build()
    with (
        gl.record(
            tmp_path / "run", model, optimizer, policy=policy, unattributed=["1.weight"]
        ) as recorder,
        pytest.raises(GradientError) as caught,
    ):
        recorder.admit(run.data(), {"source": SOURCES})
    assert caught.value.code == "G104"


@pytest.mark.parametrize("late", [False, True])
def test_a_use_outside_the_module_is_found_before_the_update(
    adamw: Any, training: Any, tmp_path: Path, policy: Path, late: bool
) -> None:
    class Leaky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.leaks = not late
            self.stack = nn.ModuleList([nn.Embedding(13, 6), nn.Linear(6, 6), nn.Linear(6, 13)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: Sequence[Any] = self.stack
            hidden = y[1](y[0](x))
            leak = nn.functional.linear(hidden, y[1].weight) if self.leaks else 0.0
            return y[2](hidden + leak)

    renamed = tmp_path / "leaky.yaml"
    renamed.write_text(
        POLICY.replace('blocks: "0"', 'blocks: "stack.0"').replace(
            'blocks: "1"', 'blocks: "stack.1"'
        )
    )
    run = training(adamw, make_model=Leaky)
    model, optimizer = run.build()
    rows = run.data().tensors[0]
    with gl.record(tmp_path / "run", model, optimizer, policy=renamed) as recorder:
        recorder.admit(list(rows), {"source": SOURCES})
        if late:  # The model begins to leak after it was probed.
            with recorder.step(rows, examples=range(len(rows))):
                run.update(model, optimizer, rows)
            model.leaks = True
        before = [value.clone() for value in model.parameters()]
        with pytest.raises(GradientError) as caught, recorder.step(rows, examples=range(len(rows))):
            run.update(model, optimizer, rows)
    assert caught.value.code == ("G105" if late else "G123")
    assert all(map(torch.equal, before, model.parameters()))


def test_an_unknown_block_is_refused_with_its_line(
    adamw: Any, training: Any, tmp_path: Path, policy: Path
) -> None:
    policy.write_text(POLICY.replace('blocks: "1", weight: 0.5', 'blocks: "layers.9", weight: 0.5'))
    run = training(adamw)
    model, optimizer = run.build()
    with pytest.raises(PolicyError) as caught:
        gl.record(tmp_path / "run", model, optimizer, policy=policy)
    assert "policy.yaml:" in caught.value.where
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("order", [[0, 3, 1, 4], [1, 4, 0, 3], [0, 1, 3, 4]])
@pytest.mark.parametrize("level", ["shares", "decisions"])
def test_micro_batches_with_and_without_limits_accumulate(
    adamw: Any, training: Any, tmp_path: Path, policy: Path, order: list[int], level: str
) -> None:
    """A tensor that is limited in one micro-batch of a step may be free in another."""
    run = training(adamw)
    tokens = run.data().tensors[0]
    model, optimizer = run.build()
    twin, _ = run.build()
    path = tmp_path / "run"
    settings = {"policy": policy, "on_imbalance": "strict", "level": level}
    with gl.record(path, model, optimizer, **settings) as recorder:
        recorder.admit([{"tokens": row} for row in tokens], {"source": SOURCES})
        with recorder.step() as step:
            for pair in (order[:2], order[2:]):
                batch = {"tokens": tokens[pair]}
                with step.micro_batch(batch, examples=pair):
                    run.loss(model, batch["tokens"]).sum().backward()
            found = [parameter.grad.clone() for parameter in model.parameters()]
            optimizer.step()
            optimizer.zero_grad()
    for name, parameter in twin.named_parameters():
        parameter.grad = torch.zeros_like(parameter)
        for example in order:
            weight = 0.0 if SOURCES[example] == "shallow" and name[0] in "01" else 1.0
            loss = run.loss(twin, tokens[example : example + 1]).sum()
            parameter.grad += weight * torch.autograd.grad(loss, parameter)[0]
    for mine, parameter in zip(found, twin.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-5, atol=1e-6)
