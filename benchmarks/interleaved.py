"""Plain and recorded training taking turns in one process, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from benchmarks.figure import middle
from torch import nn, optim

import gradledger as gl

#: Builds a model and its optimizer, the same each time.
Build = Callable[[], tuple[nn.Module, optim.Optimizer]]
#: Takes one ordinary step on a batch.
TrainStep = Callable[[nn.Module, optim.Optimizer, Any], None]


def step_seconds(
    build: Build,
    train_step: TrainStep,
    batch: dict[str, torch.Tensor],
    arms: Mapping[str, Mapping[str, Any]],
    *,
    steps: int,
    warmups: int = 3,
) -> dict[str, list[float]]:
    """Time steps of a plain arm and of recorded ones, in turn.

    Args:
        build: Model and optimizer of each arm.
        train_step: What a step does.
        batch: The batch of every step; its tensors count the examples on their first axis.
        arms: Name -> settings for ``gl.record``.
        steps: Steps of each arm that count.
        warmups: Steps before them.

    Returns:
        Wall seconds of every counted step, for ``plain`` and every arm.
    """
    num_rows = len(next(iter(batch.values())))
    rows = [{name: value[row] for name, value in batch.items()} for row in range(num_rows)]
    seconds: dict[str, list[float]] = {name: [] for name in ("plain", *arms)}
    with TemporaryDirectory() as folder:
        plain = build()
        runs = {}
        for name, settings in arms.items():
            model, optimizer = build()
            run = gl.record(Path(folder) / name, model, optimizer, **settings)
            run.admit(rows)
            runs[name] = (run, model, optimizer)
        for _ in range(warmups + steps):
            started = perf_counter()
            train_step(*plain, batch)
            seconds["plain"].append(perf_counter() - started)
            for name, (run, model, optimizer) in runs.items():
                started = perf_counter()
                with run.step(batch, examples=range(num_rows)):
                    train_step(model, optimizer, batch)
                seconds[name].append(perf_counter() - started)
        for run, _, _ in runs.values():
            run.close()
    return {name: values[warmups:] for name, values in seconds.items()}


def ratio(recorded: Sequence[float], plain: Sequence[float]) -> tuple[float, float]:
    """Return median and spread of recorded over plain, pair by pair."""
    return middle([a / b for a, b in zip(recorded, plain, strict=True)])
