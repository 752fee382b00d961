"""What torch's Adam, AdamW and AMSGrad do, as booked."""

from __future__ import annotations

import math

import pytest
import torch

from gradledger.update import find_family


def steps_of(optimizer, gradients, parameter):
    """Yield law, change, momentum before and theta before, step by step."""
    family, group = find_family(optimizer), optimizer.param_groups[0]
    for gradient in gradients:
        parameter.grad = gradient.clone()
        before, theta = family.before(optimizer, parameter, group), parameter.detach().clone()
        optimizer.step()
        law = family.after(before, optimizer, parameter)
        yield law, parameter.detach() - theta, before.momentum, theta


@pytest.fixture
def parameter():
    torch.manual_seed(0)
    return torch.nn.Parameter(torch.randn(6, dtype=torch.float64))


@pytest.fixture
def gradients():
    torch.manual_seed(1)
    # Large first, so that the running maximum of AMSGrad differs from v later on.
    return [torch.randn(6, dtype=torch.float64) * s for s in (3.0, 1.0, 0.2, 0.1, 0.05)]


@pytest.mark.parametrize("amsgrad", [False, True])
def test_coefficients_against_their_textbook_form(parameter, gradients, amsgrad):
    b1, b2, eta, eps = 0.8, 0.9, 0.05, 1e-3
    optimizer = torch.optim.AdamW(
        [parameter], lr=eta, betas=(b1, b2), eps=eps, weight_decay=0.3, amsgrad=amsgrad
    )
    v = largest = m = torch.zeros(6, dtype=torch.float64)
    walk = steps_of(optimizer, gradients, parameter)
    for t, (law, delta, _, theta) in enumerate(walk, start=1):
        g = gradients[t - 1]
        m_before, m = m, b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        largest = torch.maximum(largest, v)
        vhat = (largest if amsgrad else v) / (1 - b2**t)
        incurred = eta / ((1 - b1**t) * (vhat.sqrt() + eps))
        assert torch.allclose(law.incurred, incurred, rtol=1e-12)
        assert torch.allclose(law.gradient, -incurred * (1 - b1), rtol=1e-12)
        assert torch.allclose(law.inventory, incurred * b1 / (1 - b1), rtol=1e-12)
        assert law.decoupled_decay == pytest.approx(eta * 0.3)
        history = 0.0 if t == 1 else law.history * m_before
        expected = law.gradient * g + history - law.decoupled_decay * theta
        assert torch.allclose(delta, expected, rtol=1e-10, atol=1e-15)
    assert not torch.equal(largest, v)


def test_amsgrad_takes_the_maximum_before_correcting_it(parameter, gradients):
    """A fact of torch: the maximum runs over v, not over vhat, which would be larger here."""
    b2 = 0.9
    optimizer = torch.optim.Adam([parameter], betas=(0.8, b2), eps=0.0, amsgrad=True)
    v = torch.zeros(6, dtype=torch.float64)
    corrected = largest = v
    for t, step in enumerate(steps_of(optimizer, gradients, parameter), start=1):
        law = step[0]
        v = b2 * v + (1 - b2) * gradients[t - 1] ** 2
        largest = torch.maximum(largest, v)
        corrected = torch.maximum(corrected, v / (1 - b2**t))
    rate = 1e-3 / (1 - 0.8**5)
    assert torch.allclose(law.incurred, rate / (largest / (1 - b2**5)).sqrt(), rtol=1e-12)
    assert not torch.allclose(law.incurred, rate / corrected.sqrt(), rtol=1e-3)


def test_adam_couples_its_decay_and_adamw_does_not(parameter, gradients):
    for kind, decoupled in ((torch.optim.Adam, False), (torch.optim.AdamW, True)):
        optimizer = kind([parameter], lr=0.1, weight_decay=0.5)
        law = next(steps_of(optimizer, gradients, parameter))[0]
        assert (law.coupled_decay, law.decoupled_decay) == (
            (0.0, 0.05) if decoupled else (0.5, 0.0)
        )


def test_adam_with_decoupled_decay_by_option_is_adamw(parameter, gradients):
    optimizer = torch.optim.Adam([parameter], weight_decay=0.5, decoupled_weight_decay=True)
    law = next(steps_of(optimizer, gradients, parameter))[0]
    assert law.coupled_decay == 0.0
    assert law.decoupled_decay == pytest.approx(0.5e-3)


def test_without_first_moment_nothing_is_carried(parameter, gradients):
    optimizer = torch.optim.Adam([parameter], betas=(0.0, 0.9))
    for law, *_ in steps_of(optimizer, gradients, parameter):
        assert law.cash_factor == 1.0
        assert law.inventory_factor == law.history_factor == 0.0


def test_betas_may_change_from_step_to_step(parameter, gradients):
    optimizer = torch.optim.Adam([parameter], lr=0.1, betas=(0.9, 0.99))
    for index, (law, delta, momentum, _) in enumerate(steps_of(optimizer, gradients, parameter)):
        carried = torch.zeros_like(delta) if momentum is None else momentum
        expected = law.gradient * gradients[index] + law.history * carried
        assert torch.allclose(delta, expected, rtol=1e-10, atol=1e-15)
        optimizer.param_groups[0]["betas"] = (0.9 - 0.2 * index, 0.99)


def test_a_tensor_learning_rate_is_read_as_a_number(parameter, gradients):
    optimizer = torch.optim.AdamW([parameter], lr=torch.tensor(0.25), foreach=False)
    law = next(steps_of(optimizer, gradients, parameter))[0]
    assert law.learning_rate == 0.25
    assert math.isfinite(float(law.incurred.sum()))


def test_fused_and_plain_kernels_give_the_same_law(parameter, gradients):
    laws = []
    for options in ({"foreach": False}, {"foreach": True}, {"fused": True}):
        own = torch.nn.Parameter(parameter.detach().clone())
        optimizer = torch.optim.AdamW([own], lr=0.1, weight_decay=0.1, **options)
        laws.append(list(steps_of(optimizer, gradients, own))[-1][0])
    for law in laws[1:]:
        assert torch.allclose(law.incurred, laws[0].incurred, rtol=1e-12)
        assert torch.allclose(law.history, laws[0].history, rtol=1e-12)
