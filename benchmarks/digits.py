"""Handwritten digits and a small network on them: what predictions are measured on.

The data set comes with scikit-learn: 1,797 images of 8 by 8 pixels. Only its file is read, so that
neither scikit-learn nor SciPy needs to be importable.
"""

from __future__ import annotations

import gzip
import io
import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.ensemble import Course, recorded_batches
from benchmarks.figure import NotMeasurableError
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

from gradledger.replay import RecordedRun

NUM_TRAIN, NUM_QUERIES = 1000, 60


def load_digits() -> tuple[Tensor, Tensor]:
    """Return images, shape (1797, 64), in [0, 1], and their labels.

    Raises:
        NotMeasurableError: scikit-learn is not installed.
    """
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        message = "scikit-learn, which brings the digits, is not installed"
        raise NotMeasurableError(message)
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    rows = np.loadtxt(io.BytesIO(gzip.decompress(path.read_bytes())), delimiter=",")
    images = torch.from_numpy(rows[:, :-1]).float() / 16
    return images, torch.from_numpy(rows[:, -1]).long()


@dataclass
class Digits:
    """One training on digits; the same loop recorded, replayed or plain.

    Attributes:
        seed: Of the split, the initial weights and the order.
        activation: ``relu`` or ``gelu``.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: Largest one.
        eps: Of AdamW.
        epochs: Passes over the training set.
        batch: Visits of a step.
        smooth: Warm-up and cosine in place of a constant rate.
        width: Of both hidden layers.
        dtype: Of the parameters.
    """

    seed: int = 0
    activation: str = "relu"
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    eps: float = 1e-8
    epochs: int = 8
    batch: int = 50
    smooth: bool = False
    width: int = 64
    num_train: int = NUM_TRAIN
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        """Draw the split."""
        images, labels = load_digits()
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.seed))
        train = order[: self.num_train]
        query = order[-NUM_QUERIES:]
        self.images, self.labels = images[train].to(self.dtype), labels[train]
        self.queries = (images[query].to(self.dtype), labels[query])

    @property
    def num_steps(self) -> int:
        """Steps of the run."""
        return self.epochs * (len(self.labels) // self.batch)

    def build(self) -> tuple[nn.Module, optim.Optimizer]:
        """Build model and optimizer, seeded."""
        torch.manual_seed(1000 + self.seed)
        act = {"relu": nn.ReLU, "gelu": nn.GELU}[self.activation]
        model = nn.Sequential(
            nn.Linear(64, self.width),
            act(),
            nn.Linear(self.width, self.width),
            act(),
            nn.Linear(self.width, 10),
        ).to(self.dtype)
        if self.optimizer == "sgd":
            return model, optim.SGD(model.parameters(), lr=self.learning_rate, momentum=0.9)
        return model, optim.AdamW(
            model.parameters(), lr=self.learning_rate, eps=self.eps, weight_decay=0.01
        )

    def rate(self, step: int) -> float:
        """Share of the largest learning rate in a step, counted from 0."""
        if not self.smooth:
            return 1.0
        warmup = max(1, self.num_steps // 10)
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (self.num_steps - warmup)))

    def loop(self, run: Any) -> None:
        """Train as recorded."""
        train_set = run.admit(TensorDataset(self.images, self.labels))
        loader: DataLoader[Any] = DataLoader(
            train_set,
            batch_size=self.batch,
            shuffle=True,
            drop_last=True,
            generator=torch.Generator().manual_seed(self.seed),
        )
        schedule = optim.lr_scheduler.LambdaLR(run.optimizer, self.rate)
        for _ in range(self.epochs):
            for batch in run.batches(loader):
                with run.step(batch):
                    losses(run.model, batch[0], batch[1]).mean().backward()  # type: ignore[no-untyped-call]
                    run.optimizer.step()
                    run.optimizer.zero_grad()
                schedule.step()

    def course(self, recorded: RecordedRun) -> Course:
        """Return what executed removals of a recorded run go through."""
        return Course(
            recorded_batches(recorded),
            (self.images, self.labels),
            [self.rate(step) for step in range(self.num_steps)],
            lambda model, rows: losses(model, *rows),
        )

    def behaviours(self, count: int = NUM_QUERIES) -> dict[str, Any]:
        """Return the loss of each query as a function of the model."""
        images, labels = self.queries
        return {
            f"query {n}": lambda model, n=n: losses(
                model, images[n : n + 1], labels[n : n + 1]
            ).sum()
            for n in range(count)
        }


def losses(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of each image, in nats."""
    return nn.functional.cross_entropy(model(images), labels, reduction="none")
