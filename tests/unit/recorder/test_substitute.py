"""Substitute mode: summed per-example gradients in place of autograd's own weight gradient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

import gradledger as gl
from gradledger.errors import InputError, StorageError
from gradledger.gradient import Capture, held, survey
from gradledger.replay import settle
from gradledger.segment import read_table

SUBSTITUTE = {"record": {"substitute": True}}


def doubles() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Embedding(13, 6), nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 13)
    ).double()


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_weights_are_those_of_plain_training_to_rounding(
    training: Any, tmp_path: Path, dtype: torch.dtype, near: float
) -> None:
    run = training(lambda p: optim.SGD(p, lr=0.1, momentum=0.9), steps=10, **SUBSTITUTE)
    run.make_model = lambda: doubles().to(dtype)
    plain, recorded = run.plain(), run.recorded(tmp_path / "run")
    for (name, a), (_, b) in zip(
        plain.state_dict().items(), recorded.state_dict().items(), strict=True
    ):
        assert torch.allclose(a, b, rtol=near, atol=near), name


def test_books_are_those_of_passive_recording(
    make_optimizer: Any, training: Any, tmp_path: Path
) -> None:
    """Every optimizer balances, and visits have the same measures to rounding."""
    for name, record in (("passive", {}), ("held", {"substitute": True})):
        run = training(make_optimizer, steps=3, record=record)
        run.make_model = doubles
        run.recorded(tmp_path / name)
    tables = [read_table(tmp_path / name, "visits").to_pydict() for name in ("passive", "held")]
    for name, values in tables[0].items():
        if name.startswith(("align", "gnorm")):
            assert tables[1][name] == pytest.approx(values, rel=1e-4, abs=1e-9), name
    books = read_table(tmp_path / "held", "books").to_pydict()
    assert max(books["residual_ratio"]) <= 1e-12
    assert max(books["gap_ratio"]) <= 1e-12
    assert not {"unbalanced", "not finite"} & set(books["verdict"])


def test_the_run_says_that_it_substituted(adamw: Any, training: Any, tmp_path: Path) -> None:
    training(adamw, **SUBSTITUTE).recorded(tmp_path / "run")
    begin = json.loads((tmp_path / "run" / "run.json").read_text())
    assert begin["settings"]["substitute"] is True


def test_the_settling_pass_finds_the_same_weights(
    adamw: Any, training: Any, tmp_path: Path
) -> None:
    """Executed again with and without measuring, the run ends in the recorded bits."""
    run = training(adamw, steps=6, **SUBSTITUTE)
    run.recorded(tmp_path / "run")
    shares = settle(tmp_path / "run", run.build, run.loop).shares[0]
    total = sum(values for line, values in shares.items() if line != "accrual_residual")
    assert float(abs(total - 1).max()) < 1e-3


def test_sums_are_the_same_bits_whether_rows_are_kept_or_not() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(40, 30), nn.Tanh(), nn.Linear(30, 20)), torch.randn(5, 7, 40)
    found = []
    for keeps in (True, False):
        capture = Capture(
            survey(model, model.parameters()).units, collect_passive=keeps, substitute=True
        )
        capture.attach()
        model.zero_grad()
        with capture.micro_batch(5, {}):
            model(x).square().mean().backward()
        capture.detach()
        found.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_gradients_of_visits_are_held_and_freed() -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(6, 4), torch.randn(3, 5, 6, requires_grad=True)
    capture = Capture(survey(model, model.parameters()).units, substitute=True)
    capture.attach()
    places = []
    for _ in range(2):
        with capture.micro_batch(3, {}):
            model(x).square().sum().backward()
        (use,) = capture.uses(model.weight)
        assert isinstance(use.form, held.Held)
        for row in range(3):
            (alone,) = torch.autograd.grad(model(x[row : row + 1]).square().sum(), model.weight)
            assert torch.allclose(use.form.values[row], alone.flatten(), rtol=1e-5)
        places.append(use.form.values.data_ptr())
        capture.clear()
    capture.detach()
    assert places[0] == places[1]


def test_what_is_too_large_keeps_its_factors(
    adamw: Any, training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "HELD_BYTES", 0)
    run = training(adamw, steps=4, **SUBSTITUTE)
    recorded = run.recorded(tmp_path / "run")
    for (name, a), (_, b) in zip(
        run.plain().state_dict().items(), recorded.state_dict().items(), strict=True
    ):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-5), name


def test_convolutions_that_read_data_and_modules_called_twice() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.again(torch.relu(self.again(self.first(x))))

    torch.manual_seed(0)
    model, x = Net().double(), torch.randn(3, 3, 9, 9, dtype=torch.float64)

    def loss() -> Tensor:
        return model(x).square().mean()

    expected = torch.autograd.grad(loss(), list(model.parameters()))
    capture = Capture(survey(model, model.parameters()).units, substitute=True)
    capture.attach()
    with capture.micro_batch(3, {}):
        loss().backward()
    capture.detach()
    for parameter, value in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, value, rtol=1e-10, atol=1e-13)


def test_profiles_are_enforced_where_a_run_substitutes() -> None:
    """A routed module takes the permitted rows, whatever the mode."""
    torch.manual_seed(0)
    model, x = nn.Linear(6, 4).double(), torch.randn(3, 5, 6, dtype=torch.float64)
    capture = Capture(survey(model, model.parameters()).units, substitute=True)
    capture.attach()
    weights = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
    with capture.micro_batch(3, {id(model.weight): weights, id(model.bias): weights}):
        model(x).square().sum().backward()
    capture.detach()
    rows = [torch.autograd.grad(model(row).square().sum(), model.weight)[0] for row in x]
    assert torch.allclose(model.weight.grad, rows[0] + 0.5 * rows[2], rtol=1e-12)


def test_level_decisions_has_nothing_to_substitute(training: Any, adamw: Any, tmp_path: Path):
    run = training(adamw, record={"substitute": True, "level": "decisions"})
    with pytest.raises(InputError, match="I104"):
        run.recorded(tmp_path / "run")


def test_a_run_goes_on_in_its_own_mode(training: Any, adamw: Any, tmp_path: Path) -> None:
    run = training(adamw, steps=2)
    model, optimizer = run.build()
    recorder = gl.record(tmp_path / "run", model, optimizer)
    recorder.__exit__(RuntimeError, RuntimeError(), None)
    with pytest.raises(StorageError, match="setting substitute"):
        gl.record(tmp_path / "run", *run.build(), substitute=True, resume=True)
