"""Half formats and autocast: recorded without an error, never called balanced past their bars."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn, optim

import gradledger as gl
from gradledger.gradient.converted import converted
from gradledger.gradient.dense import Dense
from gradledger.gradient.outer_product import OuterProduct

OPTIMIZERS: dict[str, Callable[[nn.Module], optim.Optimizer]] = {
    "sgd": lambda model: optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
    "adamw": lambda model: optim.AdamW(model.parameters(), lr=1e-2),
}


def _model(dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Embedding(20, 8), nn.Linear(8, 16), nn.LayerNorm(16), nn.GELU(), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(16 * 6, 5)).to(dtype)


def _train(model: nn.Module, optimizer: optim.Optimizer, *, autocast: bool, run=None) -> None:
    tokens, labels = torch.arange(96).view(16, 6) % 20, torch.arange(16) % 5
    if run is not None:
        run.admit([{"x": x, "y": y} for x, y in zip(tokens, labels, strict=True)])
    for number in range(4):
        rows = torch.arange(4) + 4 * number
        batch = {"x": tokens[rows], "y": labels[rows]}
        if run is None:
            _update(model, optimizer, batch, autocast=autocast)
        else:
            with run.step(batch, examples=rows.tolist()):
                _update(model, optimizer, batch, autocast=autocast)


def _update(
    model: nn.Module, optimizer: optim.Optimizer, batch: dict[str, Tensor], *, autocast: bool
) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = nn.functional.cross_entropy(model(batch["x"]).float(), batch["y"])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@pytest.mark.parametrize(
    ("dtype", "autocast"),
    [(torch.float32, True), (torch.bfloat16, False)],
    ids=["autocast", "bf16"],
)
def test_half_formats_are_recorded_and_change_nothing(
    name: str, dtype: torch.dtype, autocast: bool, tmp_path: Path
) -> None:
    plain, recorded = _model(dtype), _model(dtype)
    _train(plain, OPTIMIZERS[name](plain), autocast=autocast)
    optimizer = OPTIMIZERS[name](recorded)
    with gl.record(tmp_path / "run", recorded, optimizer, on_imbalance="strict") as run:
        _train(recorded, optimizer, autocast=autocast, run=run)
    for a, b in zip(plain.parameters(), recorded.parameters(), strict=True):
        assert torch.equal(a, b)
    with gl.open(tmp_path / "run") as ledger:
        answer = ledger.books()
    counts = answer.facts["verdicts"]
    assert set(counts) <= {"balanced", "not testable at this precision"}
    # Weight gradients were rounded to bfloat16: calling their books balanced would say too much.
    assert counts["not testable at this precision"] > 0


def test_products_of_half_format_factors_are_not_rounded() -> None:
    inputs, grads = torch.randn(2, 3, 4).bfloat16(), torch.randn(2, 3, 5).bfloat16()
    form = converted(OuterProduct(inputs, grads), torch.float32)
    expected = torch.einsum("rto,rti->roi", grads.double(), inputs.double()).flatten(1)
    assert torch.allclose(form.chunk(0, 2).double(), expected, rtol=1e-6, atol=1e-6)
    same = Dense(torch.randn(2, 3))
    assert converted(same, torch.float32) is same
