"""Cheap second derivatives are those of torch, and calls that they do not fit are left alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from gradledger.replay.adjoint.curved import Curved

Function = Callable[..., Tensor]

FORMS: dict[str, tuple[Function, int]] = {
    "gelu": (functional.gelu, 0),
    "silu": (functional.silu, 0),
    "softmax of a tensor": (lambda x: x.softmax(-1), 0),
    "softmax": (lambda x: functional.softmax(x, dim=-1), 0),
    "layer_norm": (lambda x, w, b: functional.layer_norm(x, x.shape[-1:], w, b), 2),
}
OTHERS: dict[str, tuple[Function, int]] = {
    "gelu by tanh": (lambda x: functional.gelu(x, approximate="tanh"), 0),
    "softmax over rows": (lambda x: x.softmax(0), 0),
    "softmax in another type": (lambda x: functional.softmax(x, -1, dtype=torch.float64), 0),
    "norm without weight": (lambda x: functional.layer_norm(x, x.shape[-1:]), 0),
    "tanh": (torch.tanh, 0),
}


def _held(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Normalise with mean and size held: the largest terms of a norm's derivatives, uncancelled."""
    mean = x.mean(-1, keepdim=True).detach()
    size = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt().detach()
    return (x - mean) / size * w + b


#: What terms of a form add up from. The norm of two values is nearly a sign: terms cancel to what
#: epsilon leaves, and torch itself is then off by some 1e-14 of them (seen with 70 digits).
TERMS: dict[str, Function] = {"layer_norm": _held}


def twice(function: Function, x: Tensor, parameters: list[Tensor], *, curved: bool) -> list[Tensor]:
    """Return output, gradient by x, and the derivatives of one direction of that gradient."""
    captured = {id(value) for value in parameters}
    with Curved(captured) if curved else nullcontext():
        y = function(x, *parameters)
    weights = torch.arange(y.numel(), dtype=y.dtype).view_as(y).sin()
    (first,) = torch.autograd.grad((y * weights).pow(3).sum(), [x], create_graph=True)
    direction = torch.arange(x.numel(), dtype=x.dtype).view_as(x).cos()
    second = torch.autograd.grad(first, [x, *parameters], direction)
    return [y.detach(), first.detach(), *second]


@pytest.mark.parametrize("name", [*FORMS, *OTHERS])
@settings(max_examples=15, deadline=None)
@example(shape=[2, 3, 4, 2], scale=4.0, seed=0)
@example(shape=[5, 5, 4, 2], scale=4.0, seed=706)
@given(
    shape=st.lists(st.integers(2, 5), min_size=2, max_size=4),
    scale=st.sampled_from([1e-3, 1.0, 4.0]),
    seed=st.integers(0, 1000),
)
def test_second_derivatives_are_those_of_torch(
    name: str, shape: list[int], scale: float, seed: int
) -> None:
    function, num = {**FORMS, **OTHERS}[name]
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(shape, dtype=torch.float64, generator=generator)
    x.requires_grad_()
    parameters = [
        torch.randn(shape[-1], dtype=torch.float64, generator=generator).requires_grad_()
        for _ in range(num)
    ]
    expected, found = (twice(function, x, parameters, curved=curved) for curved in (False, True))
    sizes = [0.0] * len(expected)
    if name in TERMS:
        terms = twice(TERMS[name], x, parameters, curved=False)
        sizes = [float(term.abs().max()) for term in terms]
    for one, other, size in zip(expected, found, sizes, strict=True):
        tolerance = 1e-11 * float(one.abs().max()) + 1e-13 * size + 1e-14
        assert float((one - other).abs().max()) <= tolerance


def test_forms_are_used_for_captured_parameters_alone() -> None:
    x, w, b = (torch.randn(4, requires_grad=True) for _ in range(3))

    def name(captured: set[int]) -> str:
        with Curved(captured):
            return type(functional.layer_norm(x, (4,), w, b).grad_fn).__name__

    assert name({id(w), id(b)}) == "_LayerNormBackward"
    assert name({id(w)}) == "NativeLayerNormBackward0"
    with Curved(set()), torch.no_grad():
        assert functional.gelu(x).grad_fn is None


@pytest.mark.parametrize(
    "function",
    [functional.relu, torch.relu, lambda x: x.relu()],
    ids=["functional", "torch", "method"],
)
def test_a_kink_is_spread_where_that_is_asked(function: Function) -> None:
    """The spread step integrates to the step: the slope over a range is that of the rectifier."""
    x = torch.linspace(-6.0, 6.0, 4001, dtype=torch.float64, requires_grad=True)
    with Curved(set(), kinks=0.3):
        y = function(x)
    (first,) = torch.autograd.grad(y.sum(), [x], create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), [x])
    assert torch.equal(y.detach(), x.detach().relu())
    assert torch.equal(first.detach(), (x.detach() > 0).double())
    assert float(torch.trapezoid(second, x.detach())) == pytest.approx(1.0, abs=1e-9)
    with Curved(set()):
        (first,) = torch.autograd.grad(function(x).sum(), [x], create_graph=True)
    assert first.grad_fn is None or not float(torch.autograd.grad(first.sum(), [x])[0].abs().max())
