"""The bound on rounding of a gradient's sum: above what is seen, not far above it."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gradledger.gradient import Capture, Use, summation_noise, survey
from gradledger.gradient.bias import bias_form

sys.path.insert(0, str(Path(__file__).parent))
from zoo import NOISY, ZOO, Zoo

ALL = {**ZOO, **{f"{name}, dropout": zoo for name, zoo in NOISY.items()}}


def sums(model: nn.Module, loss, rows) -> dict[str, tuple[torch.Tensor, ...]]:
    """Of every parameter: autograd's sum, ours, the bound on their difference."""
    capture = Capture(survey(model, model.parameters()).units)
    capture.attach()
    with capture.micro_batch(len(rows), {}):
        loss(model, rows).mean().backward()
    capture.detach()
    found = {}
    for name, parameter in model.named_parameters():
        uses = capture.uses(parameter)
        ours = sum(use.form.total(None) for use in uses)
        found[name] = (parameter.grad.flatten(), ours, summation_noise(uses, parameter.dtype))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_rows", [4, 12])
@pytest.mark.parametrize("zoo", ALL.values(), ids=ALL)
def test_differences_are_within_the_bound(zoo: Zoo, num_rows: int, dtype: torch.dtype) -> None:
    rows = zoo.rows(dtype)[:num_rows]
    found = sums(zoo.model(dtype), zoo.loss, rows)
    for name, (theirs, ours, bound) in found.items():
        assert bool(((theirs - ours).abs() <= bound).all()), name


@pytest.mark.parametrize("length", [32, 256])
def test_key_biases_of_long_sequences(length: int) -> None:
    """Wider and longer than the zoo, with the attention of torch that is run again."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(64, 4, 64, batch_first=True, dropout=0.0)
    rows = torch.randn(8, length, 64)
    found = sums(model, lambda m, x: m(x).square().mean((1, 2)) + m(x).tanh().mean((1, 2)), rows)
    theirs, ours, bound = found["self_attn.in_proj_bias"]
    noise, signal = theirs[64:128], torch.cat([theirs[:64], theirs[128:]])
    assert float(noise.norm()) < 1e-4 * float(signal.norm())
    assert bool(((theirs - ours).abs() <= bound).all())
    # A visit that were missed would still stand out of the bound.
    assert float(bound.norm()) < 1e-3 * float(signal.norm()) * math.sqrt(length)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_below_one_visit_in_twelve(dtype: torch.dtype) -> None:
    """Sums are taken in float32 inside and rounded once: the number of terms hardly matters."""
    gradient = torch.randn(12, 50, 6).to(dtype)
    use = Use(0, bias_form(gradient), None, None)
    bound = summation_noise([use], dtype)
    sizes = gradient.double().abs().sum((0, 1))
    assert bool((bound > 2 * torch.finfo(dtype).eps * sizes).all())
    assert bool((bound < sizes / 12).all())
    twice = summation_noise([use, use], dtype)
    assert torch.allclose(twice, 2 * bound, rtol=1e-2)
