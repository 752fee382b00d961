"""Uses of modules that could be booked twice, not at all or to the wrong visit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradledger.errors import GradientError
from gradledger.gradient import survey
from gradledger.segment import read_table

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "oracle"))
from harness import (
    assert_close,
    captured,
    check,
    check_routed,
    mean_square,
    random_input,
    randomised,
)
from one_step import code_of, missed, recorded
from zoo import Positions


class Stack(nn.Module):
    """Layers of several kinds, of which the middle ones may run again in the backward pass."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.first = nn.Linear(4, 4)
        self.inner = nn.Sequential(
            nn.LayerNorm(4), nn.Linear(4, 4), nn.Tanh(), Positions(4), nn.Linear(4, 4)
        )
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True, dropout=0.0)
        self.last = nn.Linear(4, 2)

    def middle(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        return y + self.attention(y, y, y)[0]

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.reentrant is None:
            return self.last(self.middle(x))
        return self.last(checkpoint(self.middle, x, use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [None, False, True])
def test_layers_that_are_checkpointed_are_booked_once(reentrant: bool | None) -> None:
    torch.manual_seed(0)
    model, x = randomised(Stack(reentrant)), random_input(1, 4, 3, 4)
    expected = captured(model, x, mean_square)[0]
    model.reentrant = None
    for name, value in captured(model, x, mean_square)[0].items():
        assert_close(expected[name], value, name)
        assert float(value.norm()) > 0
    if reentrant is not True:  # The oracle asks for gradients of parameters, which that one lacks.
        model.reentrant = reentrant
        check(model, x, mean_square)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_layers_take_depth_weights(reentrant: bool) -> None:
    torch.manual_seed(0)
    model, x = randomised(Stack(None)), random_input(1, 4, 3, 4)
    weights = torch.tensor([0.5, 0.0, 1.0, 0.0], dtype=torch.float64)
    limited = [name for name, _ in model.named_parameters() if not name.startswith("last")]
    expected = captured(model, x, mean_square, dict.fromkeys(limited, weights))
    model.reentrant = reentrant
    for old, new in zip(
        expected, captured(model, x, mean_square, dict.fromkeys(limited, weights)), strict=True
    ):
        for name, value in old.items():
            assert_close(new[name], value, name)


@pytest.mark.parametrize("reentrant", [False, True])
def test_books_of_checkpointed_layers_balance(reentrant: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    books = recorded(tmp_path / "run", Stack(reentrant), torch.randn(4, 3, 4))
    assert max(missed(books)) <= 1e-5
    assert min(books["contributions_norm"]) > 0


class Tied(nn.Module):
    """One table read by tokens and by the head; a layer in between that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.mix(self.mix(self.embed(tokens)).tanh()))


def test_tied_tables_and_layers_called_twice(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, tokens = randomised(Tied()), torch.randint(0, 7, (5, 3))
    check(model, tokens, mean_square)
    check_routed(model, tokens, mean_square)
    books = recorded(tmp_path / "run", Tied(), tokens)
    assert max(missed(books)) <= 1e-5


def test_norms_of_tied_tensors_have_their_cross_terms(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, tokens = Tied().double(), torch.randint(0, 7, (4, 3))
    expected = []
    for row in range(4):
        model.zero_grad()
        (mean_square(model, tokens[row : row + 1]).sum() / 4).backward()
        expected.append(float(model.embed.weight.grad.norm()))
    model.zero_grad()
    recorded(tmp_path / "run", model, tokens)
    norms = read_table(tmp_path / "run", "visits").to_pydict()["gnorm_0"]
    assert norms == pytest.approx(expected, rel=1e-6)


class PositionTable(nn.Module):
    """Reads one vector for each position, for all visits at once."""

    def __init__(self, batched: bool) -> None:
        super().__init__()
        self.batched = batched
        self.table, self.embed = nn.Embedding(9, 4), nn.Embedding(7, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1])
        return self.head(self.embed(tokens) + self.table(places[None] if self.batched else places))


@pytest.mark.parametrize("length", [3, 4, 8])
def test_a_position_table_with_an_axis_for_visits(length: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, tokens = randomised(PositionTable(True)), torch.randint(0, 7, (4, length))
    check(model, tokens, mean_square)
    check_routed(model, tokens, mean_square)
    recorded(tmp_path / "run", PositionTable(True), tokens)


@pytest.mark.parametrize("length", [3, 4, 8])
def test_a_position_table_without_one_is_found(length: int, tmp_path: Path) -> None:
    """Four or eight positions could pass for four visits."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 7, (4, length))
    code = code_of(tmp_path / "run", PositionTable(False), tokens)
    assert code == ("G101" if length == 3 else "G107")


class Scaling(nn.Module):
    """A module with a hook of its own that changes what it wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.layer.register_forward_hook(lambda module, args, output: output * 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def test_hooks_of_the_model_are_part_of_it() -> None:
    model = randomised(Scaling())
    check(model, random_input(0, 4, 3, 4), mean_square)
    check_routed(model, random_input(0, 4, 3, 4), mean_square)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_normalised_weights() -> None:
    """The old hook runs locally; the new parametrisation is refused by name."""
    old = randomised(nn.utils.weight_norm(nn.Linear(4, 3)))
    check(old, random_input(0, 4, 2, 4), mean_square)
    new = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    reasons = [reason for _, reason in survey(new, new.parameters()).unattributed.values()]
    assert len(reasons) == 2
    assert all("parametrize" in reason for reason in reasons)


class Pairs(nn.Module):
    """Writes what autograd cannot see into."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Any:
        return type("Box", (), {"value": x * self.gain})()


def test_an_output_that_cannot_be_watched_is_refused_where_it_matters() -> None:
    weights = {"gain": torch.tensor([0.5, 0.0, 1.0])}
    with pytest.raises(GradientError) as caught:
        captured(Pairs(), torch.randn(3, 4), lambda m, x: m(x).value.square().sum(1), weights)
    assert caught.value.code == "G101"
