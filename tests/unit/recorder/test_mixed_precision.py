"""Loss scales: divided out by the scaler or by a fused kernel; steps that overflow are skipped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim

import gradledger as gl
from gradledger.segment import read_table
from gradledger.verify import check_run

sys.path.insert(0, str(Path(__file__).parent))
from conftest import Training, two_layer

FUSED: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "Adam": {"lr": 1e-2},
    "AdamW": {"lr": 1e-2},
    "Adagrad": {"lr": 1e-2},
}


class Scaled(Training):
    """Steps with a gradient scaler, which the run knows of."""

    scale, half, unscale, track = 2.0**10, torch.float16, True, True

    def loop(self, run: Any) -> None:
        self.scaler = torch.amp.GradScaler("cpu", init_scale=self.scale, growth_interval=3)
        if self.track:
            run.track(scaler=self.scaler)
        super().loop(run)

    def plain(self) -> nn.Module:
        self.scaler = torch.amp.GradScaler("cpu", init_scale=self.scale, growth_interval=3)
        return super().plain()

    def update(self, model: nn.Module, optimizer: optim.Optimizer, tokens: Tensor) -> None:
        with torch.autocast("cpu", dtype=self.half):
            loss = self.loss(model, tokens).mean()
        self.scaler.scale(loss).backward()
        if self.unscale:
            self.scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        self.scaler.step(optimizer)
        self.scaler.update()
        optimizer.zero_grad()


def tables(folder: Path) -> tuple[dict[str, list[Any]], ...]:
    return tuple(read_table(folder, name).to_pydict() for name in ("books", "steps", "visits"))


def same(first: nn.Module, second: nn.Module) -> bool:
    return all(map(torch.equal, first.parameters(), second.parameters()))


@pytest.mark.parametrize("unscale", [True, False], ids=["unscaled", "in step"])
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "not fused"])
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", FUSED)
def test_scaled_steps_balance(
    name: str, half: torch.dtype, fused: bool, unscale: bool, tmp_path: Path
) -> None:
    options = FUSED[name]
    run = Scaled(lambda p: getattr(optim, name)(p, fused=fused, **options))
    run.half, run.unscale = half, unscale
    assert same(run.recorded(tmp_path / "run"), run.plain())
    books, steps, _ = tables(tmp_path / "run")
    assert not any(steps["skipped"])
    assert set(books["verdict"]) <= {"balanced", "not testable at this precision"}
    assert max(books["residual_ratio"]) <= 1e-5
    assert max(books["clip"]) < 2.0**-9  # What divides the loss scale out is part of the factor.


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "not fused"])
@pytest.mark.parametrize("unscale", [True, False], ids=["unscaled", "in step"])
def test_steps_that_overflow_are_recorded_as_skipped(
    fused: bool, unscale: bool, tmp_path: Path
) -> None:
    """The first scales are too large for float16: several skips, then training."""
    run = Scaled(lambda p: optim.AdamW(p, lr=1e-2, fused=fused), steps=16)
    run.scale, run.unscale = 2.0**24, unscale
    assert same(run.recorded(tmp_path / "run"), run.plain())
    books, steps, visits = tables(tmp_path / "run")
    skipped = [n for n, flag in zip(steps["step"], steps["skipped"], strict=True) if flag]
    assert 2 <= len(skipped) < 16
    assert not set(skipped) & set(books["step"])
    for number, align, norm in zip(
        visits["step"], visits["align_0"], visits["gnorm_0"], strict=True
    ):
        assert np.isnan(align) == np.isnan(norm) == (number in skipped)
    for place, number in enumerate(steps["step"]):
        moved = steps["fingerprint_before"][place] != steps["fingerprint_after"][place]
        # A fused kernel makes its state, all zeros, in its first step even where it skips it.
        assert moved == (number not in skipped or (fused and number == 1))
    found = {finding.code for finding in check_run(tmp_path / "run").findings}
    assert found <= {"V901"}  # Nobody signed it.


@pytest.mark.parametrize(("fused", "unscale", "track"), [(0, 1, 1), (1, 1, 1), (1, 0, 0)])
def test_gradient_norms_are_those_of_the_unscaled_loss(
    fused: int, unscale: int, track: int, tmp_path: Path
) -> None:
    def make(p: list[nn.Parameter]) -> optim.Optimizer:
        return optim.SGD(p, lr=0.0, fused=bool(fused))

    scaled, plain = Scaled(make), Training(make)
    scaled.unscale, scaled.track = bool(unscale), bool(track)
    scaled.half = torch.bfloat16
    scaled.recorded(tmp_path / "scaled")
    plain.recorded(tmp_path / "plain")
    found, expected = tables(tmp_path / "scaled")[2], tables(tmp_path / "plain")[2]
    for group in range(4):
        name = f"gnorm_{group}"
        assert np.allclose(found[name], expected[name], rtol=0.05), name


def test_buffers_that_a_skipped_step_moved_are_booked(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    rows = torch.randn(6, 4)
    with gl.record(tmp_path / "run", model, optimizer, on_imbalance="strict") as run:
        run.admit(list(rows))
        with run.step(rows, examples=range(6)):
            scaler.scale(model(rows).square().sum() * 1e3).backward()
            scaler.step(optimizer)
    books, steps, _ = tables(tmp_path / "run")
    assert steps["skipped"] == [True]
    assert len(books["step"]) == 1
    assert books["unattributed_norm"][0] == books["delta_norm"][0] > 0


def test_a_gradient_that_overflows_without_a_scaler_is_still_refused(tmp_path: Path) -> None:
    model = two_layer()
    optimizer = optim.AdamW(model.parameters(), fused=True)
    rows = torch.zeros(2, 5, dtype=torch.long)
    run = gl.record(tmp_path / "run", model, optimizer)
    run.admit(list(rows))
    with run, run.step(rows, examples=range(2)):
        (model(rows).sum() * float("inf")).backward()
        with pytest.raises(gl.errors.GradientError) as caught:
            optimizer.step()
        optimizer.zero_grad()
    assert caught.value.code == "G103"
