"""A recorded step costs at most 1.35 plain steps at shares, 1.22 substituted, 1.03 at decisions.

Caveat: wall time of one process on two threads, arms taking turns step by step; the ratio is the
median over steps. Whether the compiled passes were in use stands beside the figure.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from benchmarks.decoder import ROWS, build_decoder, random_windows, train_step
from benchmarks.figure import Figure, middle
from benchmarks.interleaved import ratio, step_seconds
from torch import nn, optim

from gradledger.native import compiled_passes

STEPS: Final = 16
#: Arm -> settings, bar, goal.
ARMS: Final[dict[str, tuple[dict[str, Any], float, float]]] = {
    "shares": ({"level": "shares"}, 1.35, 1.25),
    "substitute": ({"level": "shares", "substitute": True}, 1.22, 1.12),
    "decisions": ({"level": "decisions"}, 1.03, 1.01),
}


def measure() -> list[Figure]:
    """Interleave plain training with each way of recording."""
    torch.set_num_threads(2)
    settings = {name: arm[0] for name, arm in ARMS.items()}
    seconds = step_seconds(_build, _step, {"tokens": random_windows(ROWS)}, settings, steps=STEPS)
    passes = "torch's operations" if compiled_passes() is None else "compiled passes"
    caveat = f"decoder 6 layers, d 384, T 256, B 8, two threads, {passes}"
    figures = []
    for name, (_, bar, goal) in ARMS.items():
        value, spread = ratio(seconds[name], seconds["plain"])
        key = f"recorder.cost_{name}"
        figures.append(Figure(key, value, "ratio", "lower", bar, goal, spread, caveat))
    value, spread = middle(seconds["plain"])
    return [*figures, Figure("recorder.cost_plain_step", value, "seconds", spread=spread)]


def _build() -> tuple[nn.Module, optim.Optimizer]:
    model = build_decoder()
    return model, optim.AdamW(model.parameters(), lr=1e-3)


def _step(model: nn.Module, optimizer: optim.Optimizer, batch: dict[str, torch.Tensor]) -> None:
    train_step(model, optimizer, batch["tokens"])
