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
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    with gl.record(folder, model, optimizer, on_imbalance="strict", **options) as run:
        run.admit(list(rows), {"source": ["a"] * len(rows)})
        with run.step(rows, examples=range(len(rows))):
            loss(model, rows).mean().backward()
            optimizer.step()
    return read_table(folder, "books").to_pydict()


def missed(books: dict[str, list[Any]]) -> list[float]:
    """Capture gap of every book, less what is rounding noise of the gradient's own sum.

    A book whose gap was noise must say that it could not be tested.
    """
    found = []
    columns = zip(books["gap_ratio"], books["gap_excess_ratio"], books["verdict"], strict=True)
    for gap, excess, verdict in columns:
        if gap is not None and excess is not None and gap > excess:
            assert verdict != "balanced" or gap <= 1e-5
        found.append(gap if excess is None else excess)
    return [ratio for ratio in found if ratio is not None]


def code_of(folder: Path, model: nn.Module, rows: Tensor, loss: Any = mean_square) -> str:
    before = [value.clone() for value in model.parameters()]
    with pytest.raises(GradientError) as caught:
        recorded(folder, model, rows, loss)
    assert all(map(torch.equal, before, model.parameters()))
    return caught.value.code
