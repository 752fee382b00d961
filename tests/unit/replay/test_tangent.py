"""The tangent: what central differences give for parameters, and what the adjoint gives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import optim

from gradledger.replay.adjoint import derive, differentiate_along
from gradledger.replay.adjoint.weighing import weighing
from gradledger.replay.intervene import Interventions
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import execute
from gradledger.schema import Remove, Reprofile, Reweight, Together

sys.path.insert(0, str(Path(__file__).parent))
from test_adjoint import OPTIMIZERS, behaviours
from whatif_oracle import BLOCKS, make

STEP = 1e-4
CHANGES = {
    "removal": Remove((0, 4, 8)),
    "late removal": Remove((1, 5), steps=(6, 9)),
    "profile": Reprofile((2, 3), weights=(0.0, 0.5, 1.0, 0.2)),
    "both": Together((Reweight((7,), 3.0), Remove((1, 2)))),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_what_the_adjoint_says_and_what_happens(name: str, tmp_path: Path) -> None:
    run = make("adamw")
    run.make_optimizer, run.clip = OPTIMIZERS[name], 0.5
    run.recorded(tmp_path / "run")
    recorded, asked = RecordedRun(tmp_path / "run"), behaviours(run)
    found = differentiate_along(recorded, run.build, run.loop, CHANGES["removal"], asked)
    adjoint = derive(recorded, run.build, run.loop, asked)
    chosen = np.isin(adjoint.examples, (0, 4, 8))
    expected = -adjoint.by_visit[:, chosen].sum(1)
    assert found.changes == pytest.approx(expected, rel=1e-6)
    assert found.values == pytest.approx(adjoint.values)

    def executed(size: float) -> Any:
        factors = dict.fromkeys((0, 4, 8), 1.0 + size)
        journal = Interventions(recorded, weighing(factors))
        model = execute(recorded, run.build, run.loop, journal, measure_visits=False)
        return {key: value.detach().clone() for key, value in model.named_parameters()}

    ahead, behind = executed(-STEP), executed(STEP)
    for key, tangent in found.parameters.items():
        central = (ahead[key] - behind[key]) / (2 * STEP)
        assert float((tangent - central).norm()) <= 1e-5 * float(central.norm()) + 1e-9, key


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_weights_is_followed(change: str, tmp_path: Path) -> None:
    run = make("adamw")
    run.make_optimizer = lambda p: optim.AdamW(p, lr=1e-2, eps=1e-3)
    run.recorded(tmp_path / "run")
    recorded, asked = RecordedRun(tmp_path / "run"), behaviours(run)
    found = differentiate_along(
        recorded, run.build, run.loop, CHANGES[change], asked, memory_bytes=0
    )
    adjoint = derive(recorded, run.build, run.loop, asked)
    groups = [g for g in recorded.begin["groups"] if g["role"] == "parameters"]
    blocks = [BLOCKS.index(group["block"]) for group in groups]
    changes = Interventions(recorded, CHANGES[change]).plan.weights
    expected = np.zeros(2)
    for place, visit in enumerate(recorded.visits):
        new = changes.get(visit.step, {}).get(visit.example)
        if new is not None:
            expected += adjoint.by_group[:, place] @ (np.asarray(new)[blocks] - 1.0)
    assert found.changes == pytest.approx(expected, rel=1e-5)


def test_nothing_changed_moves_nothing(tmp_path: Path) -> None:
    run = make("sgd")
    run.recorded(tmp_path / "run")
    recorded = RecordedRun(tmp_path / "run")
    found = differentiate_along(recorded, run.build, run.loop, Remove(), behaviours(run))
    assert not found.changes.any()
    assert all(not bool(part.any()) for part in found.parameters.values())


def test_derivatives_elsewhere_are_those_of_the_changed_run(tmp_path: Path) -> None:
    """The weights of ``at`` hold in every step that is gone back through."""
    run = make("adamw")
    run.make_optimizer = lambda p: optim.AdamW(p, lr=1e-2, eps=1e-3)
    run.recorded(tmp_path / "run")
    recorded, asked = RecordedRun(tmp_path / "run"), behaviours(run)
    factors = {0: 0.5, 1: 0.5, 5: 0.0, 8: 1.5}
    for memory in (1 << 30, 0):
        found = derive(
            recorded, run.build, run.loop, asked, at=weighing(factors), memory_bytes=memory
        )

        def executed(size: float) -> Any:
            journal = Interventions(recorded, weighing({**factors, 4: 1.0 + size, 0: 0.5 + size}))
            model = execute(recorded, run.build, run.loop, journal, measure_visits=False)
            return np.asarray([float(behaviour(model).detach()) for behaviour in asked.values()])

        central = (executed(STEP) - executed(-STEP)) / (2 * STEP)
        chosen = np.isin(found.examples, (0, 4))
        assert found.by_group[:, chosen].sum((1, 2)) == pytest.approx(central, rel=1e-4)
