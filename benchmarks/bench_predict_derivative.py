"""The derivative through a recorded run is what central differences of executed runs give.

Caveat: float64, one network on digits, one random direction of example weights per optimizer; the
differences cancel their error of second order, so their own error is about 1e-9.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from benchmarks.digits import Digits
from benchmarks.figure import Figure
from torch import nn, optim

import gradledger as gl
from gradledger.replay.adjoint import derive
from gradledger.replay.adjoint.belief import execute_weighted
from gradledger.replay.recorded import RecordedRun

STEP = 1e-5
OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.05, weight_decay=0.01),
    "momentum": lambda p: optim.SGD(p, lr=0.02, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": lambda p: optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=1e-3, weight_decay=0.01, eps=1e-3),
    "adamw": lambda p: optim.AdamW(p, lr=1e-3, weight_decay=0.1, eps=1e-3),
    "amsgrad": lambda p: optim.AdamW(p, lr=1e-3, amsgrad=True, eps=1e-3),
}


class Clipped(Digits):
    """Few steps in float64 with an optimizer of choice."""

    make: Callable[[list[nn.Parameter]], optim.Optimizer]

    def build(self) -> tuple[nn.Module, optim.Optimizer]:
        """Build the model and that optimizer."""
        model, _ = super().build()
        return model, self.make(list(model.parameters()))


def measure() -> list[Figure]:
    """Differentiate one run per optimizer and hold it against executed runs."""
    errors = {name: relative_error(make) for name, make in OPTIMIZERS.items()}
    figures = [
        Figure(f"predict.derivative_error_{name}", error, "relative", "lower", 1e-6, goal=1e-7)
        for name, error in errors.items()
    ]
    return [
        *figures,
        Figure(
            "predict.derivative_error",
            max(errors.values()),
            "relative",
            "lower",
            1e-6,
            goal=1e-7,
            caveat=f"largest of {len(errors)} optimizers; float64; one direction each",
        ),
    ]


def relative_error(make: Callable[[list[nn.Parameter]], optim.Optimizer]) -> float:
    """Return the largest relative error over three behaviours along one random direction."""
    run = Clipped(activation="gelu", epochs=1, num_train=300, width=16, dtype=torch.float64)
    run.make = make
    behaviours = run.behaviours(3)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with gl.record(path, *run.build()) as recorder:
            run.loop(recorder)
        recorded = RecordedRun(path)
        found = derive(recorded, run.build, run.loop, behaviours)
        examples = np.unique(found.examples)
        direction = np.random.default_rng(0).normal(size=len(examples))

        def central(size: float) -> np.ndarray:
            ahead, behind = (
                execute_weighted(
                    recorded,
                    run.build,
                    run.loop,
                    behaviours,
                    examples,
                    1.0 + sign * size * direction,
                )[0]
                for sign in (1, -1)
            )
            difference: np.ndarray = (ahead - behind) / (2 * size)
            return difference

        executed = (4 * central(STEP) - central(2 * STEP)) / 3
        predicted = found.by_example(int(examples.max()) + 1)[:, examples] @ direction
    return float(np.max(np.abs(predicted - executed) / np.abs(executed)))
