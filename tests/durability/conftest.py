"""A training run that leaves a copy of its directory at a chosen moment, as a kill does."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl


def small_model() -> nn.Module:
    """Three blocks and dropout."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 2))


def sgd(model: nn.Module) -> optim.Optimizer:
    """Momentum and coupled decay: both accounts are in use."""
    return optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)


@dataclass
class Script:
    """The script: everything that decides a run, and when its directory is copied.

    Moments: before the update, after the update, after the step, after the loop body.
    """

    run_dir: Path
    copy_to: Path | None = None
    copy_at: tuple[int, str] = (0, "")
    make_model: Callable[[], nn.Module] = small_model
    make_optimizer: Callable[[nn.Module], optim.Optimizer] = sgd
    epochs: int = 3
    workers: int = 0
    batch: int = 3
    metadata: dict[str, list[Any]] | None = None
    inputs: Tensor = field(
        default_factory=lambda: torch.randn(10, 5, generator=torch.Generator().manual_seed(1))
    )
    record: dict[str, Any] = field(default_factory=dict)
    track: bool = True
    run: Any = None

    def __call__(self) -> nn.Module:
        """Train from wherever the directory stands; return the model."""
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002 - the generator that a resume brings back
        model = self.make_model()
        optimizer = self.make_optimizer(model)
        schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
        settings = {"state_every": 2, "resume": True, "on_imbalance": "strict", **self.record}
        self.run = run = gl.record(self.run_dir, model, optimizer, **settings)
        with run:
            if self.track:
                run.track(schedule=schedule)
            labels = torch.arange(len(self.inputs)) % 2
            train_set = run.admit(TensorDataset(self.inputs, labels), self.metadata)
            generator = torch.Generator().manual_seed(7)
            loader = DataLoader(
                train_set, self.batch, shuffle=True, generator=generator, num_workers=self.workers
            )
            for _ in range(self.epochs):
                for batch in run.batches(loader):
                    self._step(model, optimizer, batch)
                    schedule.step()
                    self._copy(run.num_steps, "after the loop body")
        return model

    def _step(self, model: nn.Module, optimizer: optim.Optimizer, batch: Any) -> None:
        with self.run.step(batch) as step:
            nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
            self._copy(step.number, "before the update")
            optimizer.step()
            self._copy(step.number, "after the update")
        optimizer.zero_grad()
        self._copy(step.number, "after the step")

    def _copy(self, step: int, moment: str) -> None:
        if self.copy_to is not None and (step, moment) == self.copy_at:
            shutil.copytree(self.run_dir, self.copy_to, ignore=shutil.ignore_patterns("run.lock"))

    @staticmethod
    def bits(model: nn.Module) -> list[bytes]:
        """Every parameter, bit by bit."""
        return [value.detach().numpy().tobytes() for value in model.parameters()]


@pytest.fixture(scope="session")
def script() -> type[Script]:
    """The class itself, for tests that choose its parts."""
    return Script
