"""One recorded step of any model, and the error that refuses it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

import gradledger as gl
from gradledger.errors import GradientError
from gradledger.segment import read_table

sys.path.insert(0, str(Path(__file__).parents[2] / "oracle"))
from harness import mean_square


def recorded(
    folder: Path, model: nn.Module, rows: Tensor, loss: Any = mean_square, **options: Any
) -> dict[str, list[Any]]:
    """Record one AdamW step on all rows; return its books."""
    optimizer = optim.AdamW(model.parameters(), lr=1e-2, eps=1e-5)
    with gl.record(folder, model, optimizer, on_imbalance="strict", **options) as run:
        run.admit(list(rows), {"source": ["a"] * len(rows)})
        with run.step(rows, examples=range(len(rows))):
            loss(model, rows).mean().backward()
            optimizer.step()
    return read_table(folder, "books").to_pydict()


def code_of(folder: Path, model: nn.Module, rows: Tensor, loss: Any = mean_square) -> str:
    before = [value.clone() for value in model.parameters()]
    with pytest.raises(GradientError) as caught:
        recorded(folder, model, rows, loss)
    assert all(map(torch.equal, before, model.parameters()))
    return caught.value.code
