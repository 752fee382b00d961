"""Lines of one tensor: the fast passes against plain tensors, and planted faults."""

from __future__ import annotations

import math

import pytest
import torch

from gradledger.schema import ACCRUAL_LINES, CASH_LINES
from gradledger.update import (
    Account,
    clip_factor,
    find_family,
    measure,
    measure_untouched,
)

LINES = (*CASH_LINES, *ACCRUAL_LINES)
MAKERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True, maximize=True),
}


def only(steps, names):
    """Check that planted faults show in the named lines and nowhere else."""
    for step in steps[1:]:
        size = math.sqrt(step.lines.squares["contributions"])
        for line in ("gap", "unattributed", "edits", "residual", "accrual_residual"):
            norm = math.sqrt(step.lines.squares[line])
            assert (norm > 1e-4 * size) == (line in names), (line, norm / size)


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.parametrize("name", MAKERS)
def test_passes_agree_with_plain_tensors(loop, parameters, name, captured):
    def clip(tensors):
        torch.nn.utils.clip_grad_norm_(tensors, 1.0)
        tensors[0].grad.clamp_(-0.1, 0.1)

    off_by_some = (lambda total: total * 1.01) if captured else (lambda _: None)
    run = loop(edit_gradients=clip, capture=off_by_some)
    for steps in run.run(MAKERS[name](parameters()), 4):
        for step in steps:
            delta = step.after - step.before
            assert step.lines.delta_square == pytest.approx(float((delta**2).sum()), rel=1e-13)
            largest = max(float(t.norm()) for t in step.tensors.values())
            for line in LINES:
                tensor = step.tensors[line]
                norm, dot = float(tensor.norm()), float((tensor * delta).sum())
                # Rounding lines are what is left: the order of additions shows in them.
                slack = 1e-13 * largest
                assert math.sqrt(step.lines.squares[line]) == pytest.approx(norm, abs=slack), line
                bound = slack * float(delta.norm()) + 1e-300
                assert step.lines.dots[line] == pytest.approx(dot, abs=bound), line


@pytest.mark.parametrize("name", MAKERS)
def test_a_wrong_capture_shows_in_the_gap_and_nowhere_else(group_of, loop, parameters, name):
    run = loop(capture=lambda total: total * (1 - 1e-3))
    for steps in run.run(MAKERS[name](parameters()), 3):
        only(steps, {"gap"})
        for step in steps:
            visit_norms = math.sqrt(step.lines.squares["contributions"])
            assert group_of(step.lines).gap_ratio(visit_norms) == pytest.approx(1e-3, rel=2e-3)
            assert group_of(step.lines).verdict(visit_norms) == "unbalanced"
            # C = cash_factor (-A), so both bases see the same share of the gap.
            accrued = math.sqrt(step.lines.squares["accrued_gap"])
            cash = math.sqrt(step.lines.squares["gap"])
            assert cash == pytest.approx(step.lines.cash_factor * accrued)


@pytest.mark.parametrize("name", MAKERS)
def test_an_unlogged_edit_shows_in_the_residual(group_of, loop, parameters, name):
    run = loop(edit_parameter=lambda theta: theta.mul_(1.01))
    for steps in run.run(MAKERS[name](parameters()), 3):
        only(steps, {"residual", "accrual_residual"})
        assert all(group_of(step.lines).verdict() == "unbalanced" for step in steps)


def test_an_update_that_was_undone_is_unbalanced_and_not_unchanged(group_of, loop, parameters):
    tensors = parameters()
    kept = [t.detach().clone() for t in tensors]
    fresh = iter(kept)
    run = loop(edit_parameter=lambda theta: theta.copy_(next(fresh)))
    for steps in run.run(MAKERS["adamw"](tensors), 1):
        assert steps[0].lines.delta_square == 0.0
        assert group_of(steps[0].lines).verdict() == "unbalanced"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_clipping_by_norm_is_recovered_as_kappa(loop, parameters, dtype):
    applied = []

    def clip(tensors):
        norm = torch.nn.utils.clip_grad_norm_(tensors, 0.5)
        applied.append(float(0.5 / (norm + 1e-6)))

    for steps in loop(edit_gradients=clip).run(MAKERS["adamw"](parameters(dtype)), 3):
        for step, factor in zip(steps, applied, strict=True):
            eps = torch.finfo(dtype).eps
            assert step.lines.kappa == pytest.approx(factor, rel=10 * eps)
            edits = math.sqrt(step.lines.squares["edits"])
            assert edits <= 10 * eps * math.sqrt(step.lines.squares["contributions"])


def test_clipping_by_value_goes_to_edits(group_of, loop, parameters):
    def clip(tensors):
        torch.nn.utils.clip_grad_value_(tensors, 0.2)

    for steps in loop(edit_gradients=clip).run(MAKERS["sgd"](parameters()), 3)[:2]:
        only(steps, {"edits"})
        assert all(group_of(s.lines).verdict() == "balanced" for s in steps)


def test_noise_added_to_gradients_goes_to_edits(loop, parameters):
    def add_noise(tensors):
        generator = torch.Generator().manual_seed(3)
        for tensor in tensors:
            noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor.grad.add_(noise, alpha=0.1)

    for steps in loop(edit_gradients=add_noise).run(MAKERS["adamw"](parameters()), 3)[:2]:
        only(steps, {"edits"})


def test_without_capture_everything_is_unattributed(group_of, loop, parameters):
    for steps in loop(capture=lambda _: None).run(MAKERS["adamw"](parameters()), 3):
        for step in steps:
            group = group_of(step.lines)
            assert step.lines.squares["contributions"] == step.lines.squares["gap"] == 0.0
            assert step.lines.squares["unattributed"] > 0.0
            assert group.verdict() == "balanced"
            assert group.gap_ratio(0.0) == 0.0


def test_a_gradient_of_zero_has_kappa_one(loop, parameters):
    def erase(tensors):
        for tensor in tensors:
            tensor.grad.zero_()

    zero = torch.zeros(3)
    assert clip_factor(torch.ones(3), zero)[0] == 1.0
    assert clip_factor(zero, torch.ones(3))[0] == 0.0
    for steps in loop(edit_gradients=erase).run(MAKERS["sgd"](parameters()), 2):
        assert steps[0].lines.kappa == 0.0
        assert steps[0].lines.squares["contributions"] == 0.0


def test_kappa_of_gradients_whose_squares_underflow():
    raw = torch.full((1000,), 1e-25)
    assert clip_factor(raw * 0.25, raw)[0] == pytest.approx(0.25, rel=1e-6)
    huge = torch.full((1000,), 1e25)
    assert clip_factor(huge * 0.25, huge)[0] == pytest.approx(0.25, rel=1e-6)


def test_a_tensor_that_was_left_alone(group_of):
    theta = torch.ones(5, dtype=torch.float64)
    assert group_of(measure_untouched(theta, theta.clone())).verdict() == "unchanged"
    moved = measure_untouched(theta, theta + 0.5)
    assert math.sqrt(moved.squares["residual"]) == pytest.approx(0.5 * math.sqrt(5))
    assert group_of(moved).verdict() == "unbalanced"


def test_what_is_measured_is_left_unchanged(measured):
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(50))
    optimizer = torch.optim.Adam([parameter], weight_decay=0.1)
    gradient = torch.randn(50)
    plain = torch.nn.Parameter(parameter.detach().clone())
    reference = torch.optim.Adam([plain], weight_decay=0.1)
    account = Account()
    for _ in range(3):
        measured(parameter, optimizer, gradient, account)
        plain.grad = gradient.clone()
        reference.step()
        assert torch.equal(parameter, plain)
        assert torch.equal(parameter.grad, gradient)
        for name, value in reference.state[plain].items():
            assert torch.equal(optimizer.state[parameter][name], value)


def test_the_gradient_itself_may_stand_for_both():
    """Two handles of the same memory are one gradient; equal copies book the same."""
    torch.manual_seed(0)
    gradient = torch.randn(50, dtype=torch.float64)
    results = []
    for raw in (lambda used: used, lambda used: used.detach(), lambda used: used.clone()):
        parameter = torch.nn.Parameter(torch.ones(50, dtype=torch.float64))
        optimizer = torch.optim.AdamW([parameter])
        family, group = find_family(optimizer), optimizer.param_groups[0]
        parameter.grad = gradient.clone()
        before, theta = family.before(optimizer, parameter, group), parameter.detach().clone()
        optimizer.step()
        law = family.after(before, optimizer, parameter)
        lines = measure(
            law,
            Account(),
            theta_before=theta,
            theta_after=parameter,
            g_raw=raw(before.gradient),
            g_used=before.gradient,
            captured=gradient,
        )
        assert lines.squares["edits"] == 0.0
        results.append(lines)
    assert results[0] == results[1] == results[2]
