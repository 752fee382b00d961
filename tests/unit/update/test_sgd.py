"""What torch's SGD does, as booked: dampening, Nesterov, buffers, gradients."""

from __future__ import annotations

import pytest
import torch

from gradledger.update import find_family


def one_step(optimizer, parameter, gradient):
    """Take a step; return the law, the change and the momentum before."""
    family, group = find_family(optimizer), optimizer.param_groups[0]
    parameter.grad = gradient.clone()
    before = family.before(optimizer, parameter, group)
    theta = parameter.detach().clone()
    optimizer.step()
    return family.after(before, optimizer, parameter), parameter.detach() - theta, before


@pytest.fixture
def parameter():
    torch.manual_seed(0)
    return torch.nn.Parameter(torch.randn(6, dtype=torch.float64))


@pytest.fixture
def gradient():
    torch.manual_seed(1)
    return torch.randn(6, dtype=torch.float64)


def test_dampening_is_ignored_without_momentum(parameter, gradient):
    optimizer = torch.optim.SGD([parameter], lr=0.1, dampening=0.7)
    law, delta, _ = one_step(optimizer, parameter, gradient)
    assert law.gradient == pytest.approx(-0.1)
    assert (law.incurred, law.inventory, law.cash_factor) == (pytest.approx(0.1), 0.0, 1.0)
    assert torch.allclose(delta, -0.1 * gradient, rtol=1e-12)


def test_dampening_is_ignored_at_the_step_that_creates_the_buffer(parameter, gradient):
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, dampening=0.7)
    law, delta, _ = one_step(optimizer, parameter, gradient)
    assert law.gradient == pytest.approx(-0.1)
    assert law.incurred == pytest.approx(0.1 / 0.1)
    assert (law.history, law.momentum_before) == (0.0, None)
    assert torch.allclose(delta, -0.1 * gradient, rtol=1e-12)
    law, delta, before = one_step(optimizer, parameter, gradient)
    assert law.gradient == pytest.approx(-0.1 * 0.3)
    assert law.incurred == pytest.approx(0.1 * 0.3 / 0.1)
    assert law.history == pytest.approx(-0.1 * 0.9)
    expected = law.gradient * gradient + law.history * before.momentum
    assert torch.allclose(delta, expected, rtol=1e-11)


def test_a_buffer_loaded_with_zero_is_not_a_first_step(parameter, gradient):
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, dampening=0.7)
    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    law, _, before = one_step(optimizer, parameter, gradient)
    assert not before.first
    assert law.gradient == pytest.approx(-0.1 * 0.3)


def test_torch_forbids_dampening_with_nesterov(parameter):
    with pytest.raises(ValueError, match="Nesterov"):
        torch.optim.SGD([parameter], lr=0.1, momentum=0.9, dampening=0.1, nesterov=True)


def test_nesterov_with_dampening_set_later_still_follows_the_law(parameter, gradient):
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, nesterov=True)
    optimizer.param_groups[0]["dampening"] = 0.4
    one_step(optimizer, parameter, gradient)
    law, delta, before = one_step(optimizer, parameter, gradient)
    cash = law.gradient * gradient + law.history * before.momentum
    change = law.momentum_after - before.momentum
    accrual = -law.incurred * gradient + law.inventory * change
    assert torch.allclose(delta, cash, rtol=1e-11)
    assert torch.allclose(delta, accrual, rtol=1e-11)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_foreach_nesterov_overwrites_the_gradient(parameter, gradient, decay):
    """A fact of torch: without decay the step leaves g + mu b in ``grad``; so it is copied."""
    optimizer = torch.optim.SGD(
        [parameter], lr=0.1, momentum=0.9, nesterov=True, foreach=True, weight_decay=decay
    )
    _, _, before = one_step(optimizer, parameter, gradient)
    assert torch.equal(parameter.grad, gradient) == bool(decay)
    assert torch.equal(before.gradient, gradient)


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}, {"maximize": True}])
def test_elsewhere_the_gradient_is_taken_as_it_is(parameter, gradient, options):
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, **options)
    for _ in range(2):
        _, _, before = one_step(optimizer, parameter, gradient)
        assert torch.equal(parameter.grad, gradient)
        assert before.gradient.data_ptr() == parameter.grad.data_ptr()


def test_momentum_switched_off_and_on_again_finds_its_old_buffer(parameter, gradient):
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    one_step(optimizer, parameter, gradient)
    buffer = optimizer.state[parameter]["momentum_buffer"].clone()
    optimizer.param_groups[0]["momentum"] = 0.0
    law, _, _ = one_step(optimizer, parameter, gradient)
    assert (law.momentum_before, law.momentum_after, law.retain) == (None, None, 1.0)
    optimizer.param_groups[0]["momentum"] = 0.9
    _, _, before = one_step(optimizer, parameter, gradient)
    assert torch.equal(before.momentum, buffer)


def test_full_dampening_leaves_only_history(parameter, gradient):
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, dampening=1.0)
    one_step(optimizer, parameter, gradient)
    law, delta, before = one_step(optimizer, parameter, gradient)
    assert law.gradient == law.incurred == 0.0
    assert law.cash_factor == pytest.approx(0.1)
    assert torch.allclose(delta, -0.09 * before.momentum, rtol=1e-11)


def test_a_tensor_learning_rate_is_read_when_the_step_is_taken(parameter, gradient):
    rate = torch.tensor(0.1, dtype=torch.float64)
    optimizer = torch.optim.SGD([parameter], lr=rate)
    assert one_step(optimizer, parameter, gradient)[0].learning_rate == pytest.approx(0.1)
    rate.fill_(0.2)
    law, delta, _ = one_step(optimizer, parameter, gradient)
    assert torch.allclose(delta, law.gradient * gradient, rtol=1e-12)
