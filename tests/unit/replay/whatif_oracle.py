"""A small training for interventions, and the loop that says what each of them must come to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gradledger.segment import read_table

sys.path.insert(0, str(Path(__file__).parents[1] / "recorder"))
from conftest import OPTIMIZERS, Training, two_layer

#: Twelve examples of four sources; a batch holds four of them.
SOURCES = {"source": ["abcd"[number % 4] for number in range(12)]}
REMOVED = {0, 4, 8}
BLOCKS = ("0", "1", "3", "4")

Weight = Callable[[str, int], float]


def make(name: str = "adamw", **more: Any) -> Training:
    return Training(
        OPTIMIZERS[name],
        make_model=lambda: two_layer(torch.float64),
        steps=9,
        **{"metadata": SOURCES, **more},
    )


def stored(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def executed(run: Path) -> dict[str, Tensor]:
    """The one model that a replay left beside a run."""
    (found,) = run.with_name("run.replays").iterdir()
    return stored(found)


def oracle(run: Training, folder: Path, weight: Weight) -> nn.Module:
    """The recorded order in a plain loop: one example at a time, each tensor's gradient weighted.

    Args:
        run: The training.
        folder: Where it was recorded.
        weight: Weight of an example's gradient on a tensor, by name and example number.
    """
    visits = read_table(folder, "visits", ["step", "position", "example"]).to_pylist()
    visits.sort(key=lambda row: (row["step"], row["position"]))
    model, optimizer = run.build()
    tokens = run.data().tensors[0]
    for step in range(1, run.steps + 1):
        batch = [row["example"] for row in visits if row["step"] == step]
        total = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
        for example in batch:
            model.zero_grad()
            # The denominator is that of the whole batch, removed examples included.
            (run.loss(model, tokens[example : example + 1]).sum() / len(batch)).backward()
            for name, value in model.named_parameters():
                total[name] += weight(name, example) * value.grad
        for name, value in model.named_parameters():
            value.grad = total[name]
        if run.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), run.clip)
        optimizer.step()
    return model


def assert_close(found: dict[str, Tensor], model: nn.Module) -> None:
    """To rounding: batched and single gradients add up in another order."""
    for name, value in model.named_parameters():
        torch.testing.assert_close(found[name], value.detach(), rtol=1e-9, atol=1e-11)
