"""At level shares a recorded step of a CNN and of a perceptron costs at most 1.5 plain steps.

Caveat: ResNet-18 of width 32 with GroupNorm on 64 images of 32 by 32, and four layers of 1024 on
128 vectors; two threads, arms taking turns step by step, median over steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from benchmarks.figure import Figure, middle
from benchmarks.interleaved import ratio, step_seconds
from benchmarks.vision import build_perceptron, build_resnet, random_batch, train_step
from torch import nn, optim

#: Name -> model, batch, counted steps.
MODELS: Final[dict[str, tuple[Callable[[], nn.Module], dict[str, Any], int]]] = {
    "cnn": (build_resnet, random_batch(64, 3, 32, 32), 10),
    "mlp": (build_perceptron, random_batch(128, 1024), 20),
}


def measure() -> list[Figure]:
    """Interleave plain and recorded training of each model."""
    torch.set_num_threads(2)
    figures = []
    for name, (make, batch, steps) in MODELS.items():

        def build(make: Callable[[], nn.Module] = make) -> tuple[nn.Module, optim.Optimizer]:
            model = make()
            return model, optim.AdamW(model.parameters(), lr=1e-3)

        arms: dict[str, dict[str, Any]] = {
            "shares": {"level": "shares"},
            "substitute": {"substitute": True},
        }
        seconds = step_seconds(build, train_step, batch, arms, steps=steps)
        value, spread = ratio(seconds["shares"], seconds["plain"])
        other, _ = ratio(seconds["substitute"], seconds["plain"])
        caveat = f"{len(batch['y'])} visits a step, two threads; substituted: {other:.2f}"
        key = f"recorder.cost_{name}"
        figures.append(Figure(key, value, "ratio", "lower", 1.5, 1.25, spread, caveat))
        value, spread = middle(seconds["plain"])
        figures.append(Figure(f"{key}_plain_step", value, "seconds", spread=spread))
    return figures
