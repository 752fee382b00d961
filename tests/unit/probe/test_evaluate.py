"""Measuring leaves no trace, and the gradient is autograd's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradledger.errors import InputError
from gradledger.probe import Probe, probe_gradient, probe_value
from gradledger.state.torch_state import rng_fingerprint


class Odd(nn.Module):
    """Dropout, running statistics, a buffer that is replaced, and a tied weight."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.drop = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return self.second(self.drop(torch.tanh(self.norm(self.first(x)))))


def loss(model: nn.Module, x: Tensor) -> Tensor:
    return model(x).square().mean()


INPUTS = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))


def everything(model: nn.Module) -> list[Any]:
    """Bits, identity and versions of all tensors, gradients, modes and random numbers."""
    tensors = [*model.parameters(), *model.buffers()]
    return [
        [(id(t), t.detach().clone().tolist(), t._version, t.requires_grad) for t in tensors],
        [(None if p.grad is None else (id(p.grad), p.grad.tolist())) for p in model.parameters()],
        [module.training for module in model.modules()],
        [list(module._parameters) + list(module._buffers) for module in model.modules()],
        rng_fingerprint(),
    ]


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_left_behind(training: bool) -> None:
    model = Odd().train(training)
    model.first.eval()  # Modes may differ from module to module.
    loss(model, INPUTS).backward()
    fired: list[int] = []
    model.first.bias.register_hook(lambda grad: fired.append(1))
    probe = Probe("a", INPUTS, loss)
    before = everything(model)
    value = probe_value(model, probe)
    gradient = probe_gradient(model, probe, ["first.weight", "first.bias"])
    assert everything(model) == before
    assert not fired
    assert value == probe_value(model, probe)
    assert gradient["first.bias"].abs().sum() > 0


def test_value_and_gradient_are_those_of_evaluation_mode() -> None:
    model, twin = Odd().double(), Odd().double().eval()
    probe = Probe("a", INPUTS.double(), loss)
    expected = loss(twin, INPUTS.double())
    expected.backward()
    assert probe_value(model, probe) == pytest.approx(expected.item(), rel=1e-14)
    names = [name for name, _ in model.named_parameters()]
    found = probe_gradient(model, probe, names)
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-12, atol=1e-15)


def test_other_tensors_can_stand_in() -> None:
    model, other = Odd(), Odd()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    tensors = {
        name: value.detach().clone()
        for name, value in (*other.named_parameters(), *other.named_buffers())
    }
    probe = Probe("a", INPUTS, loss)
    assert probe_value(model, probe, tensors) == probe_value(other, probe)
    assert probe_value(model, probe, tensors) != probe_value(model, probe)
    found = probe_gradient(model, probe, ["first.weight"], tensors)
    assert torch.equal(
        found["first.weight"], probe_gradient(other, probe, ["first.weight"])["first.weight"]
    )


def test_recurrent_modules_see_the_stand_ins() -> None:
    """They keep lists of their own weights beside the table of parameters."""
    torch.manual_seed(0)
    model = nn.LSTM(3, 4, batch_first=True)

    def of_lstm(module: nn.Module, x: Tensor) -> Tensor:
        return module(x)[0].square().mean()

    x = torch.randn(2, 5, 3)
    probe = Probe("a", x, of_lstm)
    names = [name for name, _ in model.named_parameters()]
    found = probe_gradient(model, probe, names)
    of_lstm(model, x).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


def test_random_numbers_inside_a_loss_repeat() -> None:
    def noisy(model: nn.Module, x: Tensor) -> Tensor:
        noise = float(torch.rand(())) + random.random() + float(np.random.rand())  # noqa: NPY002, S311
        return model(x).mean() * 0 + noise

    model = Odd()
    probe = Probe("a", INPUTS, noisy)
    assert probe_value(model, probe) == probe_value(model, probe)


def test_autocast_around_a_probe_does_not_reach_it() -> None:
    model = Odd()
    probe = Probe("a", INPUTS, loss)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = probe_value(model, probe)
    assert inside == probe_value(model, probe)


@pytest.mark.parametrize(
    "bad",
    [
        lambda model, x: model(x),
        lambda model, x: float(model(x).mean()),
        lambda model, x: model(x).argmax(),
        lambda model, x: None,
    ],
    ids=["per row", "no tensor", "whole number", "nothing"],
)
def test_a_loss_is_one_number(bad: Any) -> None:
    with pytest.raises(InputError) as caught:
        probe_value(Odd(), Probe("a", INPUTS, bad))
    assert caught.value.code == "I132"


def test_a_loss_has_a_gradient() -> None:
    model, other = Odd(), Odd()
    for bad in (lambda m, x: loss(m, x).detach(), lambda m, x: loss(other, x)):
        with pytest.raises(InputError) as caught:
            probe_gradient(model, Probe("a", INPUTS, bad), ["first.weight"])
        assert caught.value.code == "I132"


def test_a_loss_that_writes_to_the_model_is_caught() -> None:
    def writes(model: Any, x: Tensor) -> Tensor:
        model.first.bias.data.add_(1.0)
        with torch.no_grad():
            model.second.bias.add_(1.0)
        return model(x).mean()

    with pytest.raises(InputError) as caught:
        probe_value(Odd(), Probe("a", INPUTS, writes))
    assert caught.value.code == "I133"


def test_a_loss_that_fails_leaves_the_model_as_it_was() -> None:
    def fails(model: Any, x: Tensor) -> Tensor:
        raise RuntimeError("no")

    model = Odd()
    before = everything(model)
    with pytest.raises(RuntimeError, match="no"):
        probe_value(model, Probe("a", INPUTS, fails))
    assert everything(model) == before
