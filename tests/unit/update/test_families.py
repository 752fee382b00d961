"""Every family against the real optimizer: both identities, telescoping, the law of history."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradledger.errors import UpdateError
from gradledger.schema import ACCRUAL_LINES, CASH_LINES
from gradledger.update import FAMILIES, GroupLines, find_family

sys.path.insert(0, str(Path(__file__).parents[2] / "oracle"))
from lion import Lion

RATES, DECAYS, FLAGS = st.floats(1e-4, 0.3), st.sampled_from([0.0, 1e-3, 0.1]), st.booleans()
BETAS = st.tuples(st.floats(0.0, 0.97), st.floats(0.05, 0.999))
EPS = st.sampled_from([1e-8, 1e-3])
FOREACH = {"lr": RATES, "weight_decay": DECAYS, "maximize": FLAGS, "foreach": FLAGS}

#: Optimizer and what its options are drawn from.
DRAWN = {
    "sgd": (torch.optim.SGD, FOREACH | {"momentum": st.floats(0.0, 0.97)}),
    "adam": (torch.optim.AdamW, FOREACH | {"betas": BETAS, "eps": EPS, "amsgrad": FLAGS}),
    "rmsprop": (
        torch.optim.RMSprop,
        FOREACH
        | {
            "alpha": st.floats(0.1, 0.999),
            "eps": EPS,
            "momentum": st.one_of(st.just(0.0), st.floats(0.01, 0.97)),
            "centered": FLAGS,
        },
    ),
    "adagrad": (
        torch.optim.Adagrad,
        FOREACH
        | {
            "lr_decay": st.sampled_from([0.0, 0.1]),
            "initial_accumulator_value": st.sampled_from([0.0, 0.5]),
            "eps": EPS,
        },
    ),
    "adadelta": (torch.optim.Adadelta, FOREACH | {"rho": st.floats(0.0, 0.99), "eps": EPS}),
    "adamax": (torch.optim.Adamax, FOREACH | {"betas": BETAS, "eps": EPS}),
    "nadam": (
        torch.optim.NAdam,
        FOREACH
        | {
            "betas": BETAS,
            "eps": EPS,
            "momentum_decay": st.sampled_from([0.0, 4e-3, 0.5]),
            "decoupled_weight_decay": FLAGS,
        },
    ),
    "radam": (
        torch.optim.RAdam,
        FOREACH
        | {
            "betas": st.tuples(st.floats(0.0, 0.97), st.sampled_from([0.5, 0.9, 0.99, 0.999])),
            "eps": EPS,
            "decoupled_weight_decay": FLAGS,
        },
    ),
    "adafactor": (
        torch.optim.Adafactor,
        FOREACH
        | {
            "beta2_decay": st.sampled_from([-0.8, -0.3]),
            "eps": st.sampled_from([(None, 1e-3), (1e-6, 1e-2)]),
            "d": st.sampled_from([1.0, 2.0]),
        },
    ),
    "muon": (
        torch.optim.Muon,
        {
            "lr": RATES,
            "weight_decay": DECAYS,
            "momentum": st.floats(0.0, 0.97),
            "nesterov": FLAGS,
            "ns_steps": st.sampled_from([1, 3, 5]),
            "adjust_lr_fn": st.sampled_from([None, "original", "match_rms_adamw"]),
        },
    ),
    "lion": (Lion, {"lr": RATES, "betas": BETAS, "weight_decay": DECAYS}),
}

every_family = pytest.mark.parametrize("family", DRAWN)
NUM_STEPS = 8


def test_every_registered_family_is_drawn() -> None:
    assert sorted(DRAWN) == sorted(family.name for family in FAMILIES)


def make(family, data, dtype):
    """Draw an optimizer with two param groups that differ."""
    kind, options = DRAWN[family]
    drawn = data.draw(st.fixed_dictionaries(options))
    generator = torch.Generator().manual_seed(1)
    shapes = ((4, 3), (3, 4), (3, 3)) if family == "muon" else ((4, 3), (2, 3, 4), (5,), ())
    values = [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]
    parameters = [torch.nn.Parameter(value) for value in values]
    return kind(
        [
            {"params": parameters[:1]},
            {"params": parameters[1:], "lr": 0.03, "weight_decay": 0.2},
        ],
        **drawn,
    )


def schedule(optimizer, index):
    """Move the rate, and momentum or betas, in every step."""
    for group in optimizer.param_groups:
        group["lr"] *= 1.3 if index % 2 else 0.6
        if "betas" in group:
            group["betas"] = (min(0.97, group["betas"][0] * 0.9 + 0.01 * index), group["betas"][1])
        elif group.get("momentum"):
            group["momentum"] = min(0.97, group["momentum"] * 0.9 + 0.01 * index)


def run(loop, family, data, dtype, num_steps=NUM_STEPS, **options):
    optimizer = make(family, data, dtype)
    assert find_family(optimizer).name == family
    seed = data.draw(st.integers(0, 2**31))
    history = loop(seed=seed, schedule=schedule, **options).run(optimizer, num_steps)
    return history, seed


def total(tensors, names):
    return sum(tensors[name] for name in names)


@every_family
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_both_identities_hold_at_every_step(loop, family, dtype, data):
    clip = data.draw(st.sampled_from([None, 0.5]))

    def edit(parameters):
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)

    history, _ = run(loop, family, data, dtype, edit_gradients=edit)
    for steps in history:
        for step in steps:
            group = GroupLines()
            group.add(step.lines)
            law = step.realised
            norms = [(law.gradient * group.clip * law.mixed(v)).norm() for v in step.visits]
            assert group.verdict(float(sum(norms))) not in ("unbalanced", "not finite")
            assert max(group.residual_ratio, group.accrual_residual_ratio) <= group.tolerance
            delta, scale = step.after - step.before, 0.0
            for names in (CASH_LINES, ACCRUAL_LINES):
                scale = sum(float(step.tensors[name].norm()) for name in names)
                error = float((total(step.tensors, names) - delta).norm())
                assert error <= 20 * torch.finfo(dtype).eps * scale
            for line, tensor in step.tensors.items():
                expected = float(tensor.double().norm())
                found = math.sqrt(step.lines.squares[line])
                assert found == pytest.approx(expected, rel=1e-4, abs=1e-5 * scale), line


@every_family
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_accrual_telescopes_over_any_interval(loop, family, data):
    start = data.draw(st.integers(0, NUM_STEPS - 2))
    history, _ = run(loop, family, data, torch.float64)
    for steps in history:
        interval = steps[start:]
        opened = interval[0].inventory - interval[0].tensors["inventory"]
        entries = sum(
            -s.realised.incurred * s.realised.sign * s.realised.mixed(sum(s.visits))
            for s in interval
        )
        others = [n for n in ACCRUAL_LINES if n not in ("accrued_contributions", "inventory")]
        moved = sum(total(s.tensors, others) for s in interval)
        claimed = entries + interval[-1].inventory - opened + moved
        displacement = interval[-1].after - interval[0].before
        size = sum(float(s.tensors[n].norm()) for s in interval for n in ACCRUAL_LINES)
        assert float((claimed - displacement).norm()) <= 1e-12 * size


@every_family
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_history_is_what_earlier_gradients_put_there(loop, family, data):
    """K_{t,s} = P_t h_{t,s} Q_s, with the matrix of step t for Muon and old scales for RMSprop."""
    history, _ = run(loop, family, data, torch.float64)
    for steps in history:
        for now, step in enumerate(steps):
            law = step.realised
            carried = {"history": torch.zeros_like(step.before)}
            carried["history_decay"] = carried["history"].clone()
            for then in range(now):
                source = steps[then].realised
                held = source.intake * math.prod(s.realised.retain for s in steps[then + 1 : now])
                if source.scaled_intake:
                    held = held * source.gradient_scale
                carried["history"] += held * source.sign * steps[then].used
                carried["history_decay"] += held * source.coupled_decay * steps[then].before
            for name, value in carried.items():
                expected = law.history * law.mixed(value)
                bound = 1e-11 * (1e-3 + float(expected.norm()))
                assert float((step.tensors[name] - expected).norm()) <= bound, name


@every_family
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_entries_meet_a_vector_through_their_weights(loop, family, data):
    """<u_v, x> by ``entry_weights`` is the inner product with the entry written out."""
    history, seed = run(loop, family, data, torch.float64, num_steps=3)
    generator = torch.Generator().manual_seed(seed)
    for steps in history:
        law, visit = steps[-1].realised, steps[-1].visits[0]
        vector = torch.randn(visit.shape, generator=generator, dtype=torch.float64)
        entry = -law.incurred * law.sign * 0.5 * law.mixed(visit)
        found = float((law.entry_weights(vector, 0.5) * visit).sum())
        bound = float(entry.norm()) * float(vector.norm())
        assert abs(found - float((entry * vector).sum())) <= 1e-12 * bound


@every_family
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_opening_momentum_has_an_account(loop, family, data):
    optimizer = make(family, data, torch.float64)
    loop(seed=1).run(optimizer, 4)
    for steps in loop(seed=2, schedule=schedule).run(optimizer, 3):
        for step in steps:
            group = GroupLines()
            group.add(step.lines)
            assert max(group.residual_ratio, group.accrual_residual_ratio) <= 1e-12


@every_family
def test_only_lion_and_muon_have_a_remainder(loop, family):
    """All other families are linear in the gradient, once scales are taken as they were."""
    kind, _ = DRAWN[family]
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, 4))
    for step in loop(seed=3).run(kind([parameter], lr=0.01), 4)[0]:
        norm = float(step.tensors["remainder"].norm()) / step.lines.delta_square**0.5
        low, high = {"lion": (0.05, 1.0), "muon": (1e-4, 0.05)}.get(family, (0.0, 0.0))
        assert low <= norm <= high
        assert torch.equal(step.tensors["remainder"], step.tensors["accrual_remainder"])


@pytest.mark.parametrize("beta2", [0.5, 0.9, 0.99])
def test_radam_reaches_both_phases(loop, beta2):
    parameter = torch.nn.Parameter(torch.ones(5, dtype=torch.float64))
    optimizer = torch.optim.RAdam([parameter], lr=0.1, betas=(0.9, beta2))
    steps = loop(seed=4).run(optimizer, 12)[0]
    rectified = [step.realised.gradient_scale is not None for step in steps]
    assert not rectified[0]
    assert rectified[-1] == (beta2 != 0.5)
    for step in steps:
        group = GroupLines()
        group.add(step.lines)
        assert max(group.residual_ratio, group.accrual_residual_ratio) <= 1e-12


def test_lions_remainder_is_orthogonal_to_what_is_linear(loop):
    parameter = torch.nn.Parameter(torch.ones(20, dtype=torch.float64))
    for step in loop(seed=5).run(Lion([parameter], lr=0.1), 3)[0]:
        linear = step.tensors["contributions"] + step.tensors["history"]
        product = float((linear * step.tensors["remainder"]).sum())
        assert abs(product) <= 1e-12 * float(linear.square().sum())


def test_a_class_called_lion_that_does_something_else_is_refused():
    class Lion(torch.optim.Optimizer):
        def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
            super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.sub_(p.grad, alpha=group["lr"])
                    self.state[p]["exp_avg"] = p.grad.clone()

    with pytest.raises(UpdateError, match=r"\[U101\].*a rule that is not that of Lion"):
        find_family(Lion([torch.nn.Parameter(torch.zeros(3))]))
