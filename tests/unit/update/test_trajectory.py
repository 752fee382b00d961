"""Identities of whole runs: balance, telescoping, the law of history, the frozen adjoint."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradledger.schema import ACCRUAL_LINES, CASH_LINES
from gradledger.update import Account, GroupLines

_rates = st.floats(1e-4, 0.5)
_decays = st.sampled_from([0.0, 1e-3, 0.1])
_kernels = st.sampled_from([{"foreach": False}, {"foreach": True}, {"fused": True}])


@st.composite
def sgd_makers(draw):
    nesterov = draw(st.booleans())
    options = {
        "lr": draw(_rates),
        "momentum": draw(st.floats(0.05, 0.99)) if nesterov else draw(st.floats(0.0, 0.99)),
        "dampening": 0.0 if nesterov else draw(st.sampled_from([0.0, 0.3, 1.0])),
        "weight_decay": draw(_decays),
        "nesterov": nesterov,
        "maximize": draw(st.booleans()),
        **draw(_kernels),
    }
    return torch.optim.SGD, options


@st.composite
def adam_makers(draw):
    options = {
        "lr": draw(_rates),
        "betas": (draw(st.floats(0.0, 0.99)), draw(st.floats(0.0, 0.9999))),
        "eps": draw(st.sampled_from([1e-8, 1e-3])),
        "weight_decay": draw(_decays),
        "amsgrad": draw(st.booleans()),
        "maximize": draw(st.booleans()),
        **draw(_kernels),
    }
    return draw(st.sampled_from([torch.optim.Adam, torch.optim.AdamW])), options


def two_groups(parameters):
    """Two optimizer param groups of which the second has its own rate and decay."""
    return [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.03, "weight_decay": 0.2}]


def schedule(optimizer, index):
    """Move the rate, and momentum or betas, in every step."""
    for group in optimizer.param_groups:
        group["lr"] *= 1.3 if index % 2 else 0.6
        if "betas" in group:
            group["betas"] = (min(0.99, group["betas"][0] * 0.9 + 0.01 * index), group["betas"][1])
        elif group["momentum"]:
            group["momentum"] = min(0.99, group["momentum"] * 0.9 + 0.01 * index)


def total(tensors, names):
    return sum(tensors[name] for name in names)


makers = st.one_of(sgd_makers(), adam_makers())


@settings(max_examples=60, deadline=None)
@given(maker=makers, seed=st.integers(0, 2**31), clip=st.sampled_from([None, 0.5]))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_both_bases_balance_at_every_step(loop, parameters, dtype, maker, seed, clip):
    kind, options = maker
    tensors = parameters(dtype)

    def edit(parameters):
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)

    run = loop(seed=seed, schedule=schedule, edit_gradients=edit)
    history = run.run(kind(two_groups(tensors), **options), 6)
    for index in range(6):
        for steps in history:
            group = GroupLines()
            group.add(steps[index].lines)
            visit_norms = sum(
                float((steps[index].realised.gradient * group.clip * v).norm())
                for v in steps[index].visits
            )
            assert group.verdict(visit_norms) not in ("unbalanced", "not finite")
            assert group.residual_ratio <= group.tolerance
            assert group.accrual_residual_ratio <= group.tolerance
            # The tensors really add up to the change, lines of rounding and residual included.
            step = steps[index]
            scale = sum(float(step.tensors[n].norm()) for n in ACCRUAL_LINES)
            delta = step.after - step.before
            for names in (CASH_LINES, ACCRUAL_LINES):
                error = float((total(step.tensors, names) - delta).norm())
                assert error <= torch.finfo(dtype).eps * 20 * scale


@settings(max_examples=40, deadline=None)
@given(maker=makers, seed=st.integers(0, 2**31), start=st.integers(0, 5), opening=st.booleans())
def test_accrual_telescopes_over_any_interval(loop, parameters, maker, seed, start, opening):
    kind, options = maker
    optimizer = kind(two_groups(parameters()), **options)
    if opening:  # momentum that was there before recording began
        loop(seed=seed + 1).run(optimizer, 3)
    num_steps = 8
    for steps in loop(seed=seed, schedule=schedule).run(optimizer, num_steps):
        interval = steps[start:num_steps]
        opened = interval[0].inventory - interval[0].tensors["inventory"]
        if start:
            assert torch.allclose(opened, steps[start - 1].inventory, rtol=1e-12, atol=1e-14)
        entries = sum(-s.realised.incurred * s.realised.sign * sum(s.visits) for s in interval)
        others = [n for n in ACCRUAL_LINES if n not in ("accrued_contributions", "inventory")]
        moved = sum(total(s.tensors, others) for s in interval)
        claimed = entries + interval[-1].inventory - opened + moved
        displacement = interval[-1].after - interval[0].before
        size = sum(float(s.tensors[n].norm()) for s in interval for n in ACCRUAL_LINES)
        assert float((claimed - displacement).norm()) <= 1e-13 * size


@settings(max_examples=40, deadline=None)
@given(maker=makers, seed=st.integers(0, 2**31))
def test_history_is_what_earlier_visits_put_there(loop, parameters, maker, seed):
    """K_{t,s} = P_t h_{t,s}: history line of step t as a sum over all earlier gradients."""
    kind, options = maker
    optimizer = kind(two_groups(parameters()), **options)
    for steps in loop(seed=seed, schedule=schedule).run(optimizer, 6):
        for now, step in enumerate(steps):
            expected = {"history": torch.zeros_like(step.before)}
            expected["history_decay"] = expected["history"].clone()
            for then in range(now):
                source = steps[then].realised
                held = source.intake * math.prod(s.realised.retain for s in steps[then + 1 : now])
                gradient = source.sign * steps[then].used
                decay = source.coupled_decay * steps[then].before
                expected["history"] += step.realised.history * held * gradient
                expected["history_decay"] += step.realised.history * held * decay
            for name, value in expected.items():
                bound = 1e-12 * (1 + float(value.norm()))
                assert float((step.tensors[name] - value).norm()) <= bound, name


def frozen_adjoint(steps, q):
    """Reference recursion: f_s = P_s Pi_{>s} q + b1_{s+1} f_{s+1}, e_s = (1 - b1_s) f_s."""
    shrink, following, retained = 1.0, torch.zeros_like(q), 0.0
    adjoints = []
    for step in reversed(steps):
        law = step.realised
        price = law.gradient / law.intake
        following = price * shrink * q + retained * following
        adjoints.append(law.intake * following)
        retained = law.retain
        shrink *= 1.0 - law.decoupled_decay
    return adjoints[::-1], retained * following, shrink


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    beta=st.floats(0.0, 0.98),
    decay=st.sampled_from([0.0, 0.1]),
    opening=st.booleans(),
    maximize=st.booleans(),
)
def test_frozen_curvature_adjoint(loop, parameters, seed, beta, decay, opening, maximize):
    optimizer = torch.optim.AdamW(
        parameters(), lr=0.05, betas=(beta, 0.99), weight_decay=decay, maximize=maximize
    )
    if opening:
        loop(seed=seed + 1).run(optimizer, 4)

    def clip(tensors):
        for tensor in tensors:
            tensor.grad.mul_(0.3)

    run = loop(seed=seed, schedule=schedule, edit_gradients=clip)
    for steps in run.run(optimizer, 7):
        generator = torch.Generator().manual_seed(seed)
        q = torch.randn(steps[0].before.shape, generator=generator, dtype=torch.float64)
        adjoints, opening_adjoint, shrink = frozen_adjoint(steps, q)
        visits = [
            float((e * s.realised.sign * s.lines.kappa * v).sum())
            for e, s in zip(adjoints, steps, strict=True)
            for v in s.visits
        ]
        carried = steps[0].momentum_before
        lines = [
            *visits,
            (shrink - 1.0) * float((q * steps[0].before).sum()),
            0.0 if carried is None else float((opening_adjoint * carried).sum()),
        ]
        moved = float((q * (steps[-1].after - steps[0].before)).sum())
        assert sum(lines) == pytest.approx(moved, abs=1e-12 * (1 + sum(abs(x) for x in lines)))


def test_accounts_resume_in_the_middle(loop, parameters):
    """A run whose accounts were saved and restored books the same as one that was not."""

    def make():
        tensors = parameters()
        return tensors, torch.optim.Adam(tensors, lr=0.05, weight_decay=0.1)

    tensors, optimizer = make()
    whole = loop(seed=5, accounts=[Account() for _ in tensors])
    whole.run(optimizer, 3)
    saved = [account.to_tensors() for account in whole.accounts]
    resumed = [Account.from_tensors(s, p) for s, p in zip(saved, tensors, strict=True)]
    state = [p.detach().clone() for p in tensors], copy.deepcopy(optimizer.state_dict())
    again_tensors, again = make()
    for p, value in zip(again_tensors, state[0], strict=True):
        p.data.copy_(value)
    again.load_state_dict(state[1])
    first = loop(seed=6, accounts=whole.accounts).run(optimizer, 3)
    second = loop(seed=6, accounts=resumed).run(again, 3)
    for steps, others in zip(first, second, strict=True):
        for step, other in zip(steps, others, strict=True):
            assert step.lines == other.lines
