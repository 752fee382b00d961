"""A small training run, recorded or plain, whose every part can be chosen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl

sys.path.insert(0, str(Path(__file__).parents[2] / "oracle"))
from lion import Lion

MakeOptimizer = Callable[[list[nn.Parameter]], optim.Optimizer]


def two_layer(dtype: torch.dtype = torch.float32) -> nn.Module:
    """Embedding, hidden layer with normalisation, output: four blocks."""
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Embedding(13, 6), nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 13)
    )
    return model.to(dtype)


@dataclass
class Training:
    """Everything that decides a run."""

    make_optimizer: MakeOptimizer
    make_model: Callable[[], nn.Module] = two_layer
    metadata: dict[str, list[Any]] | None = None
    steps: int = 6
    batch: int = 4
    clip: float | None = 1.0
    record: dict[str, Any] = field(default_factory=dict)

    def data(self) -> TensorDataset:
        """Twelve short token sequences."""
        generator = torch.Generator().manual_seed(5)
        return TensorDataset(torch.randint(0, 13, (12, 7), generator=generator))

    def loss(self, model: nn.Module, tokens: Tensor) -> Tensor:
        """Mean next-token loss of each row."""
        logits = model(tokens[:, :-1])
        flat = nn.functional.cross_entropy(
            logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
        )
        return flat.view(len(tokens), -1).mean(1)

    def loader(self, dataset: Any) -> DataLoader[Any]:
        """Shuffled, with its own seed."""
        generator = torch.Generator().manual_seed(7)
        return DataLoader(dataset, batch_size=self.batch, shuffle=True, generator=generator)

    def build(self) -> tuple[nn.Module, optim.Optimizer]:
        """Model and optimizer."""
        model = self.make_model()
        return model, self.make_optimizer(list(model.parameters()))

    def plain(self) -> nn.Module:
        """Train without a recorder."""
        model, optimizer = self.build()
        loader, done = self.loader(self.data()), 0
        while done < self.steps:
            for (tokens,) in loader:
                self.update(model, optimizer, tokens)
                done += 1
                if done == self.steps:
                    break
        return model

    def update(self, model: nn.Module, optimizer: optim.Optimizer, tokens: Tensor) -> None:
        """One ordinary step."""
        self.loss(model, tokens).mean().backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.clip)
        optimizer.step()
        optimizer.zero_grad()

    def loop(self, run: Any) -> None:
        """The recorded loop."""
        train_set = run.admit(self.data(), self.metadata)
        loader, done = self.loader(train_set), 0
        while done < self.steps:
            for batch in run.batches(loader):
                with run.step(batch):
                    self.update(run.model, run.optimizer, batch[0])
                done += 1
                if done == self.steps:
                    return

    def recorded(self, folder: Path) -> nn.Module:
        """Train with a recorder and close the run."""
        model, optimizer = self.build()
        run = gl.record(folder, model, optimizer, **{"on_imbalance": "strict", **self.record})
        with run:
            self.loop(run)
        return model


OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "sgd momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.2, weight_decay=0.01),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=1e-2, weight_decay=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-3, momentum=0.9, centered=True, weight_decay=0.01),
    "adagrad": lambda p: optim.Adagrad(p, lr=1e-2, lr_decay=0.01, weight_decay=0.01),
    "adadelta": lambda p: optim.Adadelta(p, lr=1.0, weight_decay=0.01),
    "adamax": lambda p: optim.Adamax(p, lr=1e-2, weight_decay=0.01),
    "nadam": lambda p: optim.NAdam(p, lr=1e-2, weight_decay=0.01, decoupled_weight_decay=True),
    "radam": lambda p: optim.RAdam(p, lr=1e-2, weight_decay=0.01),
    "adafactor": lambda p: optim.Adafactor(p, lr=1e-2, weight_decay=0.01),
    "lion": lambda p: Lion(p, lr=1e-3, weight_decay=0.1),
}


@pytest.fixture(params=sorted(OPTIMIZERS))
def make_optimizer(request: pytest.FixtureRequest) -> MakeOptimizer:
    """Every optimizer that can be booked."""
    return OPTIMIZERS[request.param]


@pytest.fixture
def adamw() -> MakeOptimizer:
    """The usual one."""
    return OPTIMIZERS["adamw"]


@pytest.fixture
def training() -> type[Training]:
    """The class itself, for tests that choose its parts."""
    return Training
