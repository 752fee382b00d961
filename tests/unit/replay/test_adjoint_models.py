"""Derivatives through runs with depth profiles, accumulation, dropout, all ways to read rows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn, optim

import gradledger as gl
from gradledger.errors import ReplayError
from gradledger.replay.adjoint import derive
from gradledger.replay.adjoint.weighing import weighing
from gradledger.replay.intervene import Interventions
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import execute
from gradledger.schema import Reprofile

sys.path.insert(0, str(Path(__file__).parent))
from loop_oracle import POLICY, Setup, probe_loss
from whatif_oracle import Training

SMALL = 1e-5


def limited(tmp_path: Path, **more: Any) -> tuple[Setup, RecordedRun]:
    setup = Setup(limited=True, scheduled=True, steps=6, clip=0.5, **more)
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    with gl.record(tmp_path / "run", *setup.build(), policy=policy) as run:
        setup.loop(run)
    return setup, RecordedRun(tmp_path / "run")


def final(setup: Any, run: RecordedRun, intervention: Any, figure: Callable[..., Any]) -> float:
    journal = Interventions(run, intervention)
    model = execute(run, setup.build, setup.loop, journal, measure_visits=False)
    with torch.no_grad():
        return float(figure(model.eval()))


def along(setup: Any, run: RecordedRun, direction: np.ndarray, figure: Callable[..., Any]) -> float:
    """Central differences along a direction of weights, the second-order error cancelled."""
    values = {
        size: final(
            setup, run, weighing({n: 1 + size * SMALL * d for n, d in enumerate(direction)}), figure
        )
        for size in (-2, -1, 1, 2)
    }
    near, far = (values[1] - values[-1]) / 2, (values[2] - values[-2]) / 4
    return (4 * near - far) / (3 * SMALL)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_profiles_and_accumulation_count_as_they_did(micro_batches: int, tmp_path: Path) -> None:
    setup, run = limited(tmp_path, micro_batches=micro_batches)
    figure = lambda model: probe_loss(model, setup.tokens()[:4])  # noqa: E731
    found = derive(run, setup.build, setup.loop, {"probe": figure})
    direction = np.random.default_rng(1).normal(size=9)
    difference = along(setup, run, direction, figure)
    assert found.by_example(9)[0] @ direction == pytest.approx(difference, rel=1e-7)


def test_the_derivative_by_a_depth_weight(tmp_path: Path) -> None:
    """Including that of a weight that is zero: only one side of it can be executed."""
    setup, run = limited(tmp_path)
    figure = lambda model: probe_loss(model, setup.tokens()[:4])  # noqa: E731
    found = derive(run, setup.build, setup.loop, {"probe": figure})
    blocks = run.begin["blocks"]
    columns = {group["block"]: group["group"] for group in run.parameter_groups()}
    for example, profile in ((0, [1, 1, 1, 1]), (1, [0, 0, 1, 1]), (2, [1, 0.5, 1, 1])):
        own = found.examples == example
        for place, block in enumerate(blocks):
            values = [
                final(
                    setup,
                    run,
                    Reprofile(
                        (example,),
                        tuple(float(w + s * (p == place)) for p, w in enumerate(profile)),
                    ),
                    figure,
                )
                for s in (0.0, SMALL, 2 * SMALL)
            ]
            difference = (-3 * values[0] + 4 * values[1] - values[2]) / (2 * SMALL)
            derivative = found.by_group[0, own, columns[block]].sum()
            assert derivative == pytest.approx(difference, rel=2e-5, abs=1e-8)


class Positions(nn.Module):
    """A decoder's parts: tied weights, positions for all rows at once, dropout, own attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(13, 8, padding_idx=0)
        self.positions = nn.Embedding(6, 8)
        self.mix = nn.Linear(8, 24)
        self.norm = nn.LayerNorm(8)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, 13, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.positions(torch.arange(tokens.shape[1])[None])
        q, k, v = self.mix(self.norm(x)).chunk(3, -1)
        x = x + nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(self.drop(x))


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(13, 4)
        self.conv = nn.Conv1d(4, 6, 3, padding=1)
        self.norm = nn.GroupNorm(2, 6)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 6))
        self.head = nn.Linear(6, 13)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm(self.conv(self.embed(tokens).transpose(1, 2))).transpose(1, 2)
        return self.head(self.scale * nn.functional.silu(x))


class Scaled(nn.Module):
    """A parameter that is used in no linear way."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.linspace(-0.5, 0.5, 8))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.log_scale.exp()


def recurrent() -> nn.Module:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(13, 5)
            self.rnn = nn.GRU(5, 6, batch_first=True)
            self.head = nn.Linear(6, 13)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.rnn(self.embed(tokens))[0])

    return Recurrent()


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(13, 8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 13)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        return self.head(x + self.attend(x, x, x, need_weights=False)[0])


MODELS: dict[str, Callable[[], nn.Module]] = {
    "decoder": Positions,
    "conv": Conv,
    "in place": lambda: nn.Sequential(
        nn.Embedding(13, 8), nn.Linear(8, 8), nn.SiLU(inplace=True), nn.Linear(8, 13)
    ),
    "own parameter": lambda: nn.Sequential(
        nn.Embedding(13, 8), Scaled(), nn.Tanh(), nn.Linear(8, 13)
    ),
    "attention": Attending,
    "recurrent": recurrent,
}


def built(name: str) -> nn.Module:
    torch.manual_seed(11)
    return MODELS[name]().double()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_way_to_read_rows(name: str, tmp_path: Path) -> None:
    run = Training(
        lambda p: optim.AdamW(p, lr=1e-2, eps=1e-4),
        make_model=lambda: built(name),
        steps=6,
        record={"unattributed": ["scale"]} if name == "conv" else {},
    )
    run.recorded(tmp_path / "run")
    recorded, tokens = RecordedRun(tmp_path / "run"), run.data().tensors[0]
    figure = lambda model: run.loss(model, tokens[:5]).mean()  # noqa: E731
    if name == "conv":
        with pytest.raises(ReplayError, match="R131"):
            derive(recorded, run.build, run.loop, {"f": figure})
        return
    found = derive(recorded, run.build, run.loop, {"f": figure})
    direction = np.random.default_rng(2).normal(size=12)
    difference = along(run, recorded, direction, figure)
    assert found.by_example(12)[0] @ direction == pytest.approx(difference, rel=1e-6)
