"""The frozen-curvature adjoint, visit by visit: against forward courses and executed removals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

NUM_STEPS = 7

#: Optimizers without coupled decay: the recursion is written for these.
KINDS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "dampened": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}),
    "adam": (torch.optim.Adam, {"lr": 0.05}),
    "adamw": (torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.2}),
    "amsgrad": (torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.2, "amsgrad": True}),
    "maximised": (torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.2, "maximize": True}),
}


def moving(optimizer, index):
    """Move the rate, and momentum or the first beta, in every step."""
    for group in optimizer.param_groups:
        group["lr"] *= 1.2 if index % 2 else 0.7
        if "betas" in group:
            group["betas"] = (0.75 + 0.03 * index, group["betas"][1])
        elif group["momentum"]:
            group["momentum"] = 0.75 + 0.03 * index


def backward(steps, q):
    """f_s = P_s Pi_{>s} q + b1_{s+1} f_{s+1}; e_s = (1 - b1_s) f_s. Without momentum P is C."""
    following, retained, shrink, adjoints = torch.zeros_like(q), 0.0, 1.0, []
    for step in reversed(steps):
        law = step.realised
        intake = law.intake or 1.0
        following = law.gradient / intake * shrink * q + retained * following
        adjoints.append(intake * following)
        retained = law.retain if law.intake else 0.0
        shrink *= 1.0 - law.decoupled_decay
    return adjoints[::-1], retained * following, shrink


def course(steps, gradient, momentum):
    """What a gradient of the first step, or momentum carried into it, does by the last step."""
    moved = torch.zeros_like(gradient)
    for index, step in enumerate(steps):
        law = step.realised
        # H is 0 in the law of a step that had no momentum; there is none to follow either.
        moved = (1.0 - law.decoupled_decay) * moved + law.history * momentum
        momentum = law.retain * momentum
        if index == 0:
            moved = moved + law.gradient * gradient
            momentum = momentum + law.intake * gradient
    return moved


def clip(tensors):
    torch.nn.utils.clip_grad_norm_(tensors, 2.0)


def vector(step, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(step.before.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), start=st.integers(0, NUM_STEPS - 1))
def test_every_visit_is_valued_at_its_whole_course(loop, parameters, name, seed, start):
    kind, options = KINDS[name]
    run = loop(seed=seed, schedule=moving, edit_gradients=clip)
    for steps in run.run(kind(parameters(), **options), NUM_STEPS):
        steps = steps[start:]  # noqa: PLW2901
        q = vector(steps[0], seed)
        adjoints, opening, shrink = backward(steps, q)
        zero = torch.zeros_like(q)
        total = (shrink - 1.0) * float((q * steps[0].before).sum())
        size = abs(total)
        if steps[0].momentum_before is not None:
            value = float((opening * steps[0].momentum_before).sum())
            whole = course(steps, zero, steps[0].momentum_before)
            assert value == pytest.approx(float((q * whole).sum()), rel=1e-11, abs=1e-13)
            total, size = total + value, size + abs(value)
        for place, (step, adjoint) in enumerate(zip(steps, adjoints, strict=True)):
            for visit in step.visits:
                booked = step.realised.sign * step.lines.kappa * visit
                value = float((adjoint * booked).sum())
                whole = course(steps[place:], booked, zero)
                bound = 1e-12 * float(q.norm()) * float(whole.norm())
                assert value == pytest.approx(float((q * whole).sum()), abs=bound)
                total, size = total + value, size + float(q.norm()) * float(whole.norm())
        moved = float((q * (steps[-1].after - steps[0].before)).sum())
        assert total == pytest.approx(moved, abs=1e-12 * size)


@pytest.mark.parametrize("name", ["sgd", "momentum", "dampened"])
@pytest.mark.parametrize("removed", [(0, 0), (2, 1), (NUM_STEPS - 1, 2)])
def test_without_curvature_a_removal_takes_away_what_the_adjoint_says(
    loop, parameters, name, removed
):
    """SGD has nothing to freeze: leave a visit out, step again, and compare the end."""
    kind, options = KINDS[name]
    factual = loop(seed=4, schedule=moving).run(kind(parameters(), **options), NUM_STEPS)
    at, which = removed
    counter = iter(range(NUM_STEPS))

    def leave_out(tensors):
        if next(counter) == at:
            for tensor, steps in zip(tensors, factual, strict=True):
                tensor.grad.sub_(steps[at].visits[which])

    again = loop(seed=4, schedule=moving, edit_gradients=leave_out)
    executed = again.run(kind(parameters(), **options), NUM_STEPS)
    for steps, others in zip(factual, executed, strict=True):
        q = vector(steps[0], 1)
        value = float((backward(steps, q)[0][at] * steps[at].visits[which]).sum())
        difference = float((q * (steps[-1].after - others[-1].after)).sum())
        assert value != 0.0
        assert value == pytest.approx(difference, rel=1e-10, abs=1e-13)


@pytest.mark.parametrize("fault", ["intake", "retain", "decay"])
def test_a_wrong_recursion_does_not_pass(loop, parameters, fault):
    """The check sees each factor of the recursion."""
    kind, options = KINDS["adamw"]
    for steps in loop(seed=3, schedule=moving).run(kind(parameters(), **options), NUM_STEPS):
        q = vector(steps[0], 3)
        value = float((wrong(steps, q, fault) * steps[0].visits[0]).sum())
        whole = course(steps, steps[0].visits[0], torch.zeros_like(q))
        right = float((q * whole).sum())
        assert abs(value - right) > 1e-6 * float(q.norm()) * float(whole.norm())


def wrong(steps, q, fault):
    """Return e of the first step from a recursion with one factor left out."""
    following, retained, shrink = torch.zeros_like(q), 0.0, 1.0
    for step in reversed(steps):
        law = step.realised
        price = law.gradient if fault == "intake" else law.gradient / law.intake
        following = price * shrink * q + retained * following
        retained = 0.0 if fault == "retain" else law.retain
        shrink *= 1.0 if fault == "decay" else 1.0 - law.decoupled_decay
    return law.intake * following
