"""Derivatives through a recorded run, held against central differences of executed runs."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim

from gradledger.errors import ReplayError
from gradledger.replay.adjoint import derive
from gradledger.replay.adjoint.plan import plan_segments
from gradledger.replay.adjoint.weighing import weighing
from gradledger.replay.intervene import Interventions
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import execute

sys.path.insert(0, str(Path(__file__).parent))
from loop_oracle import POLICY
from whatif_oracle import make

MakeOptimizer = Any

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.01),
    "sgd maximize": lambda p: optim.SGD(p, lr=0.02, maximize=True),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.01),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: optim.Adam(p, lr=1e-2, weight_decay=0.01, eps=1e-4),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2, betas=(0.8, 0.9), weight_decay=0.1, eps=1e-4),
    "amsgrad": lambda p: optim.AdamW(p, lr=1e-2, amsgrad=True, betas=(0.8, 0.6), eps=1e-4),
    "two groups": lambda p: optim.AdamW(
        [{"params": p[:3], "weight_decay": 0.2}, {"params": p[3:], "lr": 3e-2}], lr=1e-2, eps=1e-4
    ),
}


def behaviours(run: Any) -> dict[str, Any]:
    tokens = run.data().tensors[0]
    return {
        "first": lambda model: run.loss(model, tokens[:5]).mean(),
        "last": lambda model: run.loss(model, tokens[9:]).sum() ** 2,
    }


def evaluate(run: Any, folder: Path, factors: Mapping[int, float], since: int) -> np.ndarray:
    recorded = RecordedRun(folder)
    journal = Interventions(recorded, weighing(factors))
    model = execute(recorded, run.build, run.loop, journal, start=since, measure_visits=False)
    model.eval()
    with torch.no_grad():
        return np.asarray([float(figure(model)) for figure in behaviours(run).values()])


def central_difference(
    run: Any, folder: Path, direction: np.ndarray, step: float, since: int = 0
) -> np.ndarray:
    ahead, behind = (
        evaluate(run, folder, {n: 1 + sign * step * d for n, d in enumerate(direction)}, since)
        for sign in (1, -1)
    )
    return (ahead - behind) / (2 * step)


def relative_error(
    run: Any, folder: Path, step: float = 1e-5, seed: int = 0, since: int = 0
) -> float:
    """Worst relative difference over behaviours along one random direction of weights."""
    found = derive(RecordedRun(folder), run.build, run.loop, behaviours(run), since=since)
    direction = np.random.default_rng(seed).normal(size=12)
    near, far = (
        central_difference(run, folder, direction, size, since) for size in (step, 2 * step)
    )
    difference = (4 * near - far) / 3  # Richardson: the error of second order cancels.
    predicted = found.by_example(12) @ direction
    return float(np.max(np.abs(predicted - difference) / np.abs(difference)))


@pytest.mark.parametrize("clip", [None, 0.4])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_the_adjoint_is_the_derivative_of_the_executed_run(
    name: str, clip: float | None, tmp_path: Path
) -> None:
    run = make_with(name, clip)
    run.recorded(tmp_path / "run")
    error = relative_error(run, tmp_path / "run")
    assert error < 1e-7


@pytest.mark.parametrize("name", ["adamw", "momentum", "sgd"])
def test_from_a_stored_state_on_the_derivative_is_that_of_a_run_from_there(
    name: str, tmp_path: Path
) -> None:
    run = make_with(name, 0.4, record={"state_every": 4})
    run.recorded(tmp_path / "run")
    recorded = RecordedRun(tmp_path / "run")
    found = derive(recorded, run.build, run.loop, behaviours(run), since=4, memory_bytes=0)
    late = [visit.example for visit in recorded.visits if visit.step > 4]
    assert found.examples.tolist() == late
    assert found.by_visit.shape == (2, len(late))
    assert found.num_steps_taken == 2 * 5 + 2  # Two and three steps: the first two again.
    assert relative_error(run, tmp_path / "run", since=4) < 1e-7


@pytest.mark.parametrize("since", [3, 9])
def test_nothing_is_executed_from_a_step_without_a_state_or_after_it(
    since: int, tmp_path: Path
) -> None:
    run = make_with("sgd", None, record={"state_every": 4})
    run.recorded(tmp_path / "run")
    with pytest.raises(ReplayError, match="R102"):
        derive(
            RecordedRun(tmp_path / "run"),
            lambda: pytest.fail("executed"),
            run.loop,
            behaviours(run),
            since=since,
        )


class Skipping(nn.Module):
    """Passes a layer and a scale over in batches whose first token is even."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embed, self.often = nn.Embedding(13, 6), nn.Linear(6, 6)
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 13)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        if int(tokens[0, 0]) % 2:
            x = x + self.norm(nn.functional.gelu(self.often(x)))
        return self.head(x)


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_parameter_without_a_gradient_stands_still_and_so_does_its_state(
    name: str, to_none: bool, tmp_path: Path
) -> None:
    run = make_with(name, None)
    run.make_model = lambda: Skipping().double()
    absent = []

    def update(model: nn.Module, optimizer: optim.Optimizer, tokens: Tensor) -> None:
        run.loss(model, tokens).mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.4)
        absent.append(model.often.weight.grad is None)
        optimizer.step()
        optimizer.zero_grad(set_to_none=to_none)

    run.update = update
    run.recorded(tmp_path / "run")
    # Zeros are a gradient, once there was one: decay and momentum go on.
    assert any(absent) or not to_none
    assert not all(absent)
    error = relative_error(run, tmp_path / "run")
    assert error < 1e-7


def test_states_that_are_computed_again_change_nothing(tmp_path: Path) -> None:
    # Depth weights: a step that is taken again between reverse ones is limited as it was.
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    metadata = {"source": ["deep", "shallow", "half", "deep"] * 3}
    run = make_with("amsgrad", 0.4, metadata=metadata, record={"policy": policy})
    run.recorded(tmp_path / "run")
    recorded, ticks = RecordedRun(tmp_path / "run"), []
    whole = derive(recorded, run.build, run.loop, behaviours(run))
    sparse = derive(
        recorded,
        run.build,
        run.loop,
        behaviours(run),
        memory_bytes=0,
        progress=lambda done, total: ticks.append((done, total)),
    )
    assert np.array_equal(whole.by_group, sparse.by_group)
    assert np.array_equal(whole.by_visit, sparse.by_visit)
    assert whole.num_steps_taken == 18
    assert sparse.num_steps_taken == 24  # Nine steps in three segments: six are taken again.
    assert sparse.most_bytes < 0.7 * whole.most_bytes
    assert ticks == [(n, 24) for n in range(1, 25)]


@pytest.mark.parametrize(("steps", "room"), [(1, 0), (9, 0), (10, 7), (100, 30), (50, 50)])
def test_a_plan_goes_back_through_every_step_once(steps: int, room: int) -> None:
    plan = plan_segments(steps, room)
    slots = plan.backward()
    assert [slot.step for slot in slots if slot.reverse] == list(range(steps, 0, -1))
    assert len(slots) - steps == plan.num_recomputed
    assert plan.num_kept <= max(room, 2 * math.isqrt(steps) + 2)
    assert plan.bounds[0] == 0
    assert plan.bounds[-1] == steps


def make_with(name: str, clip: float | None, **more: Any) -> Any:
    run = make("adamw", clip=clip, **more)
    run.make_optimizer = OPTIMIZERS[name]
    return run
