"""The identities that the books rest on hold for real torch.optim steps to 1e-12.

Caveat: float64, random gradients of three visits per step, clipped by norm, with rates, momentum
and betas that move at every step; SGD (plain, momentum, dampening, Nesterov, coupled decay), Adam,
AdamW and AMSGrad, also maximising. Errors are over the sum of the norms of all lines, after the
rounding of the parameter write (at most 2 ulp) is set apart; one more row says what it was before.
The frozen-curvature adjoint is defined without coupled decay and is not written for Nesterov.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from benchmarks.adjoint import adjoint_error
from benchmarks.figure import Figure
from benchmarks.optimizer_steps import NUM_STEPS, Taken, accrual, cash, norms, rounding, walk
from torch import Tensor, optim

BAR, NUM_SEEDS = 1e-12, 5
#: Optimizer, options, and whether the frozen-curvature adjoint is defined for it.
CASES: tuple[tuple[type[optim.Optimizer], dict[str, Any], bool], ...] = (
    (optim.SGD, {"lr": 0.1}, True),
    (optim.SGD, {"lr": 0.1, "dampening": 0.4, "weight_decay": 0.1}, False),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9}, True),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}, True),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}, False),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, False),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, False),
    (optim.Adam, {"lr": 0.05}, True),
    (optim.Adam, {"lr": 0.05, "weight_decay": 0.1}, False),
    (optim.Adam, {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}, False),
    (optim.AdamW, {"lr": 0.05, "weight_decay": 0.1, "betas": (0.9, 0.95)}, True),
    (optim.AdamW, {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}, True),
    (optim.AdamW, {"lr": 0.05, "weight_decay": 0.1, "maximize": True}, True),
)


@dataclass
class Errors:
    """Largest errors so far, by identity."""

    cash: float = 0.0
    accrual: float = 0.0
    displacement: float = 0.0
    adjoint: float = 0.0
    coefficients: float = 0.0
    before_rounding: float = 0.0

    def note(self, name: str, error: float) -> None:
        """Keep the larger one; what is not finite counts as infinite."""
        worst = max(getattr(self, name), error if math.isfinite(error) else math.inf)
        setattr(self, name, worst)


MEANINGS = {
    "cash": "change of one step = C gradient + history + decay + rounding",
    "accrual": "change of one step = entries + inventory + revaluation + decay + rounding",
    "displacement": "change over an interval = sums of those lines, inventory telescoped",
    "adjoint": "<q, D_v> of every visit by the backward recursion against its own forward course, "
    "and all of them with decay and opening momentum against the change",
    "coefficients": "C, H, A, B of the update room against the table written out by hand",
}


def measure(num_seeds: int = NUM_SEEDS) -> list[Figure]:
    """Take steps with every optimizer and compare."""
    torch.set_num_threads(2)
    errors = Errors()
    for case in CASES:
        for seed in range(num_seeds):
            check(errors, *case, seed)
    worst = max(getattr(errors, name) for name in MEANINGS)
    where = f"{len(CASES)} optimizers, {num_seeds} seeds, {NUM_STEPS} steps, float64"
    return [
        Figure("books.identities", worst, "ratio", bar=BAR, caveat=f"largest of all; {where}"),
        *(
            Figure(
                f"books.identities_{name}", getattr(errors, name), "ratio", bar=BAR, caveat=meaning
            )
            for name, meaning in MEANINGS.items()
        ),
        Figure(
            "books.identities_before_rounding",
            errors.before_rounding,
            "ratio",
            caveat="of cash and accrual, the rounding of the parameter write not yet set apart",
        ),
    ]


def check(
    errors: Errors,
    kind: type[optim.Optimizer],
    options: dict[str, Any],
    has_adjoint: bool,  # noqa: FBT001
    seed: int,
) -> None:
    """Note the errors of one optimizer and seed."""
    for steps in walk(kind, options, seed):
        held: Tensor | float = 0.0
        for step in steps:
            for name, lines in (("cash", cash(step)), ("accrual", accrual(step, held))):
                rest, size = step.delta - sum(lines), norms(lines)
                errors.note("before_rounding", float(rest.norm()) / size)
                errors.note(name, float((rest - rounding(step, rest)).norm()) / size)
            errors.note("coefficients", coefficient_error(step))
            held = step.row.inventory
        for start in (0, 1, NUM_STEPS // 2):
            opening = steps[start - 1].row.inventory if start else 0.0
            errors.note("displacement", displacement_error(steps[start:], opening))
            if has_adjoint:
                generator = torch.Generator().manual_seed(seed)
                q = torch.randn(steps[0].before.shape, generator=generator, dtype=torch.float64)
                errors.note("adjoint", adjoint_error(steps[start:], q))


def displacement_error(steps: Sequence[Taken], held: Tensor | float) -> float:
    """Compare the change over an interval with its lines, the inventory taken at both ends."""
    first, last, size = steps[0], steps[-1], 0.0
    claimed = last.row.inventory * last.momentum_after - held * first.momentum_before
    for step in steps:
        lines = accrual(step, held)
        rho = rounding(step, step.delta - sum(lines))
        entries, (_, revaluation, decay) = lines[:-3], lines[-3:]
        claimed = claimed + sum(entries) + revaluation + decay + rho
        size += norms([*lines, rho])
        held = step.row.inventory
    return float((claimed - (last.after - first.before)).norm()) / size


def coefficient_error(step: Taken) -> float:
    """Return the largest relative difference between the law of the books and the table."""
    law, row = step.law, step.row
    pairs = [(law.gradient, row.gradient), (law.incurred, row.incurred)]
    pairs += [(law.inventory, row.inventory)]
    if law.momentum_before is not None:
        pairs += [(law.history, row.history)]
    pairs += [(law.coupled_decay, row.coupled), (law.decoupled_decay, row.decoupled)]
    return max(_relative(found, expected) for found, expected in pairs)


def _relative(found: Tensor | float, expected: Tensor | float) -> float:
    found, expected = (torch.as_tensor(x, dtype=torch.float64) for x in (found, expected))
    error, size = float((found - expected).norm()), float(expected.norm())
    return error / size if size else error
