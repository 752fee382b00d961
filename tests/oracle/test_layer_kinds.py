"""Every layer kind and the generic route against one-example-at-a-time autograd."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from gradledger.gradient import KINDS, find_kind, measure, survey

sys.path.insert(0, str(Path(__file__).parent))
from harness import (
    assert_close,
    captured,
    check,
    mean_square,
    random_input,
    randomised,
    reference,
)

rows = st.integers(1, 5)
positions = st.integers(1, 6)
widths = st.integers(1, 7)
seeds = st.integers(0, 2**31)


class Scaled(nn.Module):
    """Uses parameters directly, in a non-linear way, next to a child module."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.randn(width))
        self.offset = nn.Parameter(torch.randn(1, width))
        self.inner = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.inner(x) * self.gain) + self.offset


@given(rows, positions, widths, widths, st.booleans(), st.booleans(), seeds)
@settings(max_examples=40, deadline=None)
def test_linear(r: int, t: int, i: int, o: int, bias: bool, flat: bool, seed: int) -> None:
    x = random_input(seed, r, i) if flat else random_input(seed, r, t, i)
    check(randomised(nn.Linear(i, o, bias=bias)), x, mean_square)


@given(rows, positions, widths, st.integers(2, 9), st.booleans(), seeds)
@settings(max_examples=40, deadline=None)
def test_embedding(r: int, t: int, d: int, v: int, padded: bool, seed: int) -> None:
    torch.manual_seed(seed)
    tokens = torch.randint(0, v, (r, t))
    check(randomised(nn.Embedding(v, d, padding_idx=0 if padded else None)), tokens, mean_square)


# A width of one normalises to zero: the gradient is rounding noise on both sides.
@given(rows, positions, st.integers(2, 7), st.booleans(), st.booleans(), seeds)
@settings(max_examples=40, deadline=None)
def test_layer_norm(r: int, t: int, d: int, bias: bool, two_axes: bool, seed: int) -> None:
    shape = (3, d) if two_axes else (d,)
    x = random_input(seed, r, t, *shape)
    check(randomised(nn.LayerNorm(shape, bias=bias)), x, mean_square)


@given(rows, positions, widths, st.booleans(), seeds)
@settings(max_examples=40, deadline=None)
def test_rms_norm(r: int, t: int, d: int, two_axes: bool, seed: int) -> None:
    shape = [2, d] if two_axes else [d]
    check(randomised(nn.RMSNorm(shape)), random_input(seed, r, t, *shape), mean_square)


@given(rows, positions, widths, seeds)
@settings(max_examples=25, deadline=None)
def test_rms_norm_in_float32(r: int, t: int, d: int, seed: int) -> None:
    module = randomised(LlamaRMSNorm(d))
    kind, _ = find_kind(module)
    assert kind is not None
    assert kind.name == "rms_norm_float32"
    x = random_input(seed, r, t, d)
    # That norm computes in float32 by its own choice, so float32 is all its gradient is good for.
    with torch.no_grad():
        module(x)
    expected = reference(module, x, mean_square)["weight"]
    found = captured(module, x, mean_square)[0]["weight"]
    assert (found - expected).norm() <= 1e-6 * expected.norm() + 1e-12


@given(rows, positions, widths, seeds)
@settings(max_examples=25, deadline=None)
def test_generic_parameters_used_directly(r: int, t: int, d: int, seed: int) -> None:
    check(randomised(Scaled(d)), random_input(seed, r, t, d), mean_square)


@given(rows, positions, widths, seeds)
@settings(max_examples=20, deadline=None)
def test_module_used_twice_and_tied_weight(r: int, t: int, d: int, seed: int) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(d, d)
            self.tied = nn.Linear(d, d, bias=False)
            self.tied.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.tied(self.first(self.first(x).tanh()).sigmoid())

    check(randomised(Twice()), random_input(seed, r, t, d), mean_square)


@given(rows, positions, widths, st.integers(2, 7), seeds)
@settings(max_examples=25, deadline=None)
def test_depth_weights_route_and_zero_is_exact(r: int, t: int, i: int, o: int, seed: int) -> None:
    model = randomised(nn.Sequential(nn.Linear(i, o), nn.LayerNorm(o), Scaled(o)))
    x = random_input(seed, r, t, i)
    weights = torch.tensor([0.0, 1.0, 0.5, 0.0, 2.0], dtype=torch.float64)[:r]
    names = ["0.weight", "0.bias", "1.weight", "1.bias", "2.gain", "2.offset"]
    expected = reference(model, x, mean_square)
    found, grads = captured(model, x, mean_square, dict.fromkeys(names, weights))
    for name, value in expected.items():
        weighted = value * weights.unsqueeze(1) if name in names else value
        assert_close(found[name], weighted, name)
        assert_close(grads[name], weighted.sum(0), f"{name} (gradient of the optimizer)")
        if name in names:
            assert bool((found[name][weights == 0] == 0).all())


def test_weight_zero_drops_rows_that_are_not_finite() -> None:
    model = randomised(nn.Linear(3, 2))
    x = random_input(0, 3, 4, 3)
    x[1] = float("inf")
    weights = dict.fromkeys(("weight", "bias"), torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64))
    found, grads = captured(model, x, lambda m, v: m(v).square().flatten(1).sum(1), weights)
    assert all(bool(value.isfinite().all()) for value in (*found.values(), *grads.values()))
    alone = captured(model, x[[0, 2]], lambda m, v: m(v).square().flatten(1).sum(1))[1]
    assert_close(grads["weight"], alone["weight"], "weight")


@given(rows, positions, st.integers(1, 6), st.integers(1, 6), seeds)
@settings(max_examples=40, deadline=None)
def test_measures_agree_with_dense_rows(r: int, t: int, i: int, o: int, seed: int) -> None:
    for module, x in (
        (nn.Linear(i, o), random_input(seed, r, t, i)),
        (nn.Embedding(i, o), torch.randint(0, i, (r, t))),
        (nn.RMSNorm(i), random_input(seed, r, t, i)),
    ):
        model = randomised(module)
        for unit in survey(model, model.parameters()).units:
            from gradledger.gradient import Capture

            capture = Capture([unit])
            capture.attach()
            with capture.micro_batch(r, {}):
                mean_square(model, x).sum().backward()
            capture.detach()
            for parameter in unit.names.values():
                forms = [use.form for use in capture.uses(parameter)]
                dense = sum(form.chunk(0, r) for form in forms)
                directions = torch.randn(2, parameter.numel(), dtype=torch.float64)
                scale = torch.rand(parameter.numel(), dtype=torch.float64)
                weights = torch.rand(r, dtype=torch.float64)
                measured = measure(forms, weights, directions, scale)
                assert_close(measured.dots, directions @ dense.T, "dots")
                assert_close(measured.squared_norms, dense.square().sum(1), "norms")
                scaled = (dense * scale).square().sum(1)
                assert_close(measured.scaled_squared_norms, scaled, "scaled norms")
                assert_close(measured.total, weights @ dense, "total")


def test_registry_names_are_distinct() -> None:
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names) >= 4


class Shifted(nn.Module):
    """Looks like a norm of that kind and scales otherwise, as Gemma's does."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width))
        self.variance_epsilon = 1e-6

    def forward(self, x: Tensor) -> Tensor:
        return (1 + self.weight) * x * torch.rsqrt(x.pow(2).mean(-1, True) + self.variance_epsilon)


@given(rows, positions, widths, seeds)
@settings(max_examples=20, deadline=None)
def test_a_norm_that_scales_otherwise_takes_the_generic_route(
    r: int, t: int, d: int, seed: int
) -> None:
    module = randomised(Shifted(d))
    kind, _ = find_kind(module)
    assert kind is not None
    assert kind.name == "generic"
    check(module, random_input(seed, r, t, d), mean_square)
