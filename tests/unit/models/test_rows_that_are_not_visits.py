"""Modules whose rows are not the visits: found by name before anything is updated."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gradledger as gl
from gradledger.errors import GradientError

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "oracle"))
from harness import mean_square
from one_step import code_of
from zoo import Translator, plain_loss


class MixesRows(nn.Module):
    """Subtracts the mean over the batch between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.last(y - y.mean(0))


class MixesInside(nn.Module):
    """The same inside one module that has parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)) * self.gain


class Noise(nn.Module):
    """Draws without a dropout layer that could be seen from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain * torch.rand_like(x)


class Counts(nn.Module):
    """Holds state that its forward pass changes."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(4))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.gain * self.calls


class TransposedInput(nn.Module):
    """Positions first from the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embed(tokens))


def test_rows_mixed_between_modules_are_found(tmp_path: Path) -> None:
    assert code_of(tmp_path / "run", MixesRows(), torch.randn(4, 3, 4)) == "G107"


@pytest.mark.parametrize("kind", [MixesInside, Noise, Counts])
def test_a_module_that_cannot_run_alone_is_found(kind: type[nn.Module], tmp_path: Path) -> None:
    assert code_of(tmp_path / "run", kind(), torch.randn(4, 3, 4)) == "G108"


@pytest.mark.parametrize("length", [3, 8])
def test_a_batch_that_is_not_first_is_found(length: int, tmp_path: Path) -> None:
    """Whether the other axis could pass for visits or not."""

    def turned(model: nn.Module, tokens: Tensor) -> Tensor:
        return mean_square(model, tokens.T).sum().expand(4)

    torch.manual_seed(0)
    tokens = torch.randint(0, 7, (4, length))
    assert code_of(tmp_path / "run", TransposedInput(), tokens, turned) == "G107"


@pytest.mark.parametrize("rows", [2, 4, 7])
def test_a_transformer_with_positions_first_is_found(rows: int, tmp_path: Path) -> None:
    """Seven positions: as many as visits, or not a multiple of them."""
    torch.manual_seed(0)
    model, tokens = Translator(0.0, batch_first=False), torch.randint(0, 13, (rows, 7))
    assert code_of(tmp_path / "run", model, tokens, plain_loss) in {"G101", "G107"}


class Loops(nn.Module):
    """Reads one visit after the other, from the first layer or from the second on."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.first = first
        self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        if self.first:
            return self.head(torch.cat([self.embed(row[None])[:1] for row in tokens]))
        return torch.cat([self.head(row[None]) for row in self.embed(tokens)])


@pytest.mark.parametrize("first", [True, False])
def test_a_loop_over_visits_is_found(first: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert code_of(tmp_path / "run", Loops(first), torch.randint(0, 7, (4, 3))) == "G107"


def test_the_trial_waits_for_two_visits(tmp_path: Path) -> None:
    """A first batch of one visit says nothing; the next one is tried."""
    model = MixesRows()
    optimizer = torch.optim.AdamW(model.parameters())
    rows = torch.randn(4, 3, 4)
    with gl.record(tmp_path / "run", model, optimizer) as run:
        run.admit(list(rows), {"source": ["a"] * 4})
        with run.step(rows[:1], examples=[0]):
            mean_square(model, rows[:1]).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        with pytest.raises(GradientError) as caught, run.step(rows, examples=range(4)):
            mean_square(model, rows).mean().backward()
        assert caught.value.code == "G107"
