"""Schedulers of every kind that torch has: rates, momentum and betas move, the books balance."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.optim import lr_scheduler as kinds
from torch.optim.swa_utils import SWALR

sys.path.insert(0, str(Path(__file__).parent))
from habit_harness import Habit

from gradledger.segment import read_table

SCHEDULERS: dict[str, Callable[[optim.Optimizer], Any]] = {
    "LambdaLR": lambda o: kinds.LambdaLR(o, lambda n: 0.9**n),
    "MultiplicativeLR": lambda o: kinds.MultiplicativeLR(o, lambda _: 0.9),
    "StepLR": lambda o: kinds.StepLR(o, 2),
    "MultiStepLR": lambda o: kinds.MultiStepLR(o, [1, 3]),
    "ConstantLR": lambda o: kinds.ConstantLR(o, 0.5, total_iters=2),
    "LinearLR": lambda o: kinds.LinearLR(o, 0.1, total_iters=3),
    "ExponentialLR": lambda o: kinds.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda o: kinds.PolynomialLR(o, total_iters=8),
    "CosineAnnealingLR": lambda o: kinds.CosineAnnealingLR(o, 8),
    "CosineAnnealingWarmRestarts": lambda o: kinds.CosineAnnealingWarmRestarts(o, 3),
    "CyclicLR": lambda o: kinds.CyclicLR(o, 1e-3, 1e-2, step_size_up=2),
    "OneCycleLR": lambda o: kinds.OneCycleLR(o, 0.05, total_steps=10),
    "ReduceLROnPlateau": lambda o: kinds.ReduceLROnPlateau(o, patience=0),
    "SequentialLR": lambda o: kinds.SequentialLR(
        o, [kinds.ConstantLR(o, 0.1, 2), kinds.ExponentialLR(o, 0.9)], milestones=[2]
    ),
    "ChainedScheduler": lambda o: kinds.ChainedScheduler(
        [kinds.ConstantLR(o, 0.1, 2), kinds.ExponentialLR(o, 0.9)]
    ),
    "SWALR": lambda o: SWALR(o, swa_lr=0.02, anneal_epochs=3),
}
MAKERS: dict[str, Callable[..., optim.Optimizer]] = {
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "AdamW": lambda p: optim.AdamW(p, lr=1e-2),
}


class Moved(Habit):
    """A scheduler of the kind that is asked for."""

    name = "any schedule"
    steps = 6

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def start(self, model: nn.Module, optimizer: optim.Optimizer, run: Any) -> None:
        self.scheduler = SCHEDULERS[self.kind](optimizer)
        if run is not None and self.kind not in ("LambdaLR", "MultiplicativeLR"):
            run.track(scheduler=self.scheduler)

    def after_step(self, model: nn.Module, optimizer: optim.Optimizer) -> None:
        if self.kind == "ReduceLROnPlateau":
            self.scheduler.step(1.0)
        else:
            self.scheduler.step()


Habit.all.remove(Moved)  # It needs an argument: not a row of the support page.


def test_every_scheduler_of_torch_is_tried() -> None:
    names = {name for name in kinds.__all__ if name != "LRScheduler"}
    assert names <= set(SCHEDULERS)


@pytest.mark.filterwarnings("ignore:To get the last learning rate")
@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("kind", SCHEDULERS)
def test_a_scheduler_moves_the_rate_and_the_books_balance(
    kind: str, maker: Any, tmp_path: Path
) -> None:
    recorded, plain = Moved(kind).recorded(maker, tmp_path / "run"), Moved(kind).plain(maker)
    assert all(map(torch.equal, recorded.parameters(), plain.parameters()))
    books = read_table(tmp_path / "run", "books").to_pydict()
    assert len(set(books["learning_rate"])) > 1
    assert max(books["residual_ratio"]) <= 1e-5
