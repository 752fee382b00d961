"""What cannot be recorded is found before anything is updated, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn.utils.parametrizations import weight_norm

import gradledger as gl
from gradledger.errors import GradledgerError
from gradledger.segment import read_table

F = nn.functional
ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])

Loss = Callable[[Tensor], Tensor]


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 5))


def square(output: Tensor) -> Tensor:
    return output.square().mean()


def record(folder: Path, model: nn.Module, loss: Loss = square, **settings: Any) -> gl.Recorder:
    """Two steps; what is not refused is left as plain training leaves it."""
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    rows = settings.pop("rows", ROWS)
    with gl.record(folder, model, optimizer, **settings) as run:
        run.admit(list(rows))
        for _ in range(2):
            with run.step(rows, examples=range(len(rows))):
                loss(model(rows)).backward()
                optimizer.step()
                optimizer.zero_grad()
    return run


def refused(folder: Path, code: str, model: nn.Module, *args: Any, **settings: Any) -> str:
    before = [value.detach().clone() for value in model.parameters()]
    backward = Tensor.backward
    with pytest.raises(GradledgerError) as caught:
        record(folder, model, *args, **settings)
    assert caught.value.code == code
    assert caught.value.hint
    assert all(map(torch.equal, before, model.parameters()))
    assert Tensor.backward is backward
    return str(caught.value)


SEPARATE: dict[str, Loss] = {
    "cross-entropy": lambda o: F.cross_entropy(o, LABELS),
    "labels in another order": lambda o: F.cross_entropy(o[torch.arange(5, -1, -1)], LABELS),
    "square": square,
    "linear": lambda o: o.mean(),
    "absolute": lambda o: o.abs().sum(),
    "weighted": lambda o: (F.cross_entropy(o, LABELS, reduction="none") * LABELS).sum() / 10,
    "scaled by a constant": lambda o: square(o / o.detach().std()),
    "a ratio of sums that data fixes": lambda o: o.square().sum() / LABELS.sum(),
}
MIXING: dict[str, Loss] = {
    "contrastive": lambda o: F.cross_entropy(o @ o.T, torch.arange(6)),
    "centred": lambda o: (o - o.mean(0)).square().mean(),
    "root of a mean": lambda o: square(o).sqrt(),
    "ranking": lambda o: F.softplus(o[1:] - o[:-1]).mean(),
    "soft normalisation": lambda o: (o.softmax(0) * o).sum(),
}


@pytest.mark.parametrize("loss", SEPARATE.values(), ids=SEPARATE)
def test_a_loss_over_rows_is_recorded_and_left_alone(loss: Loss, tmp_path: Path) -> None:
    model, plain = small(), small()
    record(tmp_path / "run", model, loss, on_imbalance="strict")
    optimizer = optim.SGD(plain.parameters(), lr=0.1)
    for _ in range(2):
        loss(plain(ROWS)).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(map(torch.equal, model.parameters(), plain.parameters()))


@pytest.mark.parametrize("loss", MIXING.values(), ids=MIXING)
def test_a_loss_that_mixes_rows_is_refused(loss: Loss, tmp_path: Path) -> None:
    assert "second derivative" in refused(tmp_path / "run", "G121", small(), loss)


def test_a_loss_that_mixes_rows_may_be_accepted_and_marks_every_step(tmp_path: Path) -> None:
    run = record(tmp_path / "run", small(), MIXING["contrastive"], accept_coupled=True)
    assert run.coupled() == ["the loss"]
    assert read_table(tmp_path / "run", "steps")["coupled"].to_pylist() == [True, True]
    books = read_table(tmp_path / "run", "books").to_pydict()
    assert set(books["verdict"]) == {"balanced"}


class Product(torch.autograd.Function):
    """A custom function that multiplies by a weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return grad @ weight, grad.T @ x


class Around(nn.Module):
    """Uses the weight of a child beside the child, or in its place."""

    def __init__(self, *, calls: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.outer, self.calls = nn.Linear(4, 4, bias=False), nn.Linear(4, 2), calls

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x) if self.calls else x
        return self.outer(torch.tanh(Product.apply(x, self.inner.weight)))


@pytest.mark.parametrize("calls", [True, False])
def test_a_custom_function_around_a_captured_module_is_refused(calls: bool, tmp_path: Path) -> None:
    text = refused(tmp_path / "run", "G123", Around(calls=calls))
    assert "inner.weight" in text
    model = Around(calls=calls)
    settings = {"unattributed": ["inner.*"], "on_imbalance": "strict"}
    record(tmp_path / "accepted", model, **settings)
    books = read_table(tmp_path / "accepted", "books").to_pydict()
    assert books["unattributed_norm"][0] > 0


def test_a_module_made_of_a_custom_function_is_captured(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 4))

        def forward(self, x: Tensor) -> Tensor:
            return Product.apply(x, self.weight)

    run = record(tmp_path / "run", nn.Sequential(Own(), nn.Linear(3, 2)), on_imbalance="strict")
    assert not run.grouping.coverage.unattributed


class Experts(nn.Module):
    """Two experts, each of which takes so many rows and no more."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.gate = nn.Linear(4, 2)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        shares = self.gate(x).softmax(-1)
        chosen, mixed = shares.argmax(-1), x
        for number, expert in enumerate(self.experts):
            rows = (chosen == number).nonzero().flatten()[:2]
            if len(rows):
                mixed = mixed.index_add(0, rows, expert(x[rows]) * shares[rows, number, None])
        return self.out(mixed)


def test_expert_capacity_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "run", "G107", Experts())


def test_sparse_gradients_are_refused_by_the_name_of_their_module(tmp_path: Path) -> None:
    rows = torch.randint(0, 9, (6, 5))
    model = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Linear(4, 2))
    assert "sparse=True in 0 (Embedding)" in refused(tmp_path / "run", "U103", model, rows=rows)
    model[0].weight.requires_grad_(False)
    record(tmp_path / "frozen", model, rows=rows)


def test_parametrisations_are_named_as_unattributed(tmp_path: Path) -> None:
    model = nn.Sequential(weight_norm(nn.Linear(4, 8)), nn.Linear(8, 2))
    run = record(tmp_path / "run", model, on_imbalance="strict")
    reasons = dict(run.grouping.coverage.unattributed)
    assert set(reasons) == {f"0.parametrizations.weight.original{n}" for n in (0, 1)}
    assert all("parametrize" in reason for reason in reasons.values())


def test_batch_normalisation_marks_every_step(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    record(tmp_path / "run", model)
    assert read_table(tmp_path / "run", "steps")["coupled"].to_pylist() == [True, True]
