"""Steps that torch.optim really took on random visits, and their lines written out in full."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from benchmarks import optimizer_table as table
from torch import Tensor, nn, optim

from gradledger.update import Realised, clip_factor, find_family

NUM_STEPS, NUM_VISITS, SHAPES = 12, 3, ((17, 9), (23,), ())


@dataclass(frozen=True)
class Taken:
    """One tensor at one step that torch really took."""

    row: table.Row
    law: Realised
    visits: list[Tensor]
    used: Tensor
    before: Tensor
    after: Tensor
    momentum_before: Tensor
    momentum_after: Tensor

    @property
    def delta(self) -> Tensor:
        """The realised change."""
        return self.after - self.before

    @property
    def kappa(self) -> float:
        """What clipping really applied."""
        return clip_factor(self.used, torch.stack(self.visits).sum(0))[0]

    @property
    def gradients(self) -> list[Tensor]:
        """What the optimizer was handed, signed: clipped visits, edits, coupled decay."""
        visits = [self.row.sign * self.kappa * visit for visit in self.visits]
        edits = self.row.sign * (self.used - self.kappa * torch.stack(self.visits).sum(0))
        return [*visits, edits, self.row.coupled * self.before]


def walk(
    kind: Callable[..., optim.Optimizer], options: dict[str, Any], seed: int
) -> list[list[Taken]]:
    """Train three tensors on random visits; return their steps, tensor by tensor."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    parameters = [nn.Parameter(draw(*shape)) for shape in SHAPES]
    optimizer = kind(parameters, **options)
    family, group = find_family(optimizer), optimizer.param_groups[0]
    history: list[list[Taken]] = [[] for _ in parameters]
    for number in range(NUM_STEPS):
        move_settings(group, number)
        visits = [[draw(*shape) for _ in range(NUM_VISITS)] for shape in SHAPES]
        for parameter, own in zip(parameters, visits, strict=True):
            parameter.grad = torch.stack(own).sum(0)
        nn.utils.clip_grad_norm_(parameters, 5.0)
        before = [
            (
                p.detach().clone(),
                table.momentum_of(optimizer, p),
                table.hold(optimizer, p),
                family.before(optimizer, p, group),
                torch.zeros_like(p) if p.grad is None else p.grad.clone(),
            )
            for p in parameters
        ]
        optimizer.step()
        for place, (parameter, remembered) in enumerate(zip(parameters, before, strict=True)):
            theta, momentum, held, noted, used = remembered
            law = None if noted is None else family.after(noted, optimizer, parameter)
            if law is None:
                raise RuntimeError("the optimizer skipped a step")
            history[place].append(
                Taken(
                    row=table.read(held, optimizer, parameter),
                    law=law,
                    visits=visits[place],
                    used=used,
                    before=theta,
                    after=parameter.detach().clone(),
                    momentum_before=momentum,
                    momentum_after=table.momentum_of(optimizer, parameter),
                )
            )
    return history


def move_settings(group: dict[str, Any], number: int) -> None:
    """Move the rate, and momentum or the first beta, in every step."""
    group["lr"] *= 1.3 if number % 2 else 0.7
    if "betas" in group:
        group["betas"] = (min(0.95, 0.8 + 0.02 * number), group["betas"][1])
    elif group["momentum"]:
        group["momentum"] = min(0.95, 0.8 + 0.02 * number)


def cash(step: Taken) -> list[Tensor]:
    """Lines of one step, momentum as history."""
    row = step.row
    direct = [row.gradient * part for part in step.gradients]
    return [*direct, row.history * step.momentum_before, -row.decoupled * step.before]


def accrual(step: Taken, held: Tensor | float) -> list[Tensor]:
    """Lines of one step, momentum as inventory that was worth ``held`` per unit before."""
    row = step.row
    entries = [-row.incurred * part for part in step.gradients]
    inventory = row.inventory * step.momentum_after - held * step.momentum_before
    revaluation = -(row.inventory - held) * step.momentum_before
    return [*entries, inventory, revaluation, -row.decoupled * step.before]


def rounding(step: Taken, rest: Tensor) -> Tensor:
    """Return what of a rest the write of the parameter can explain: at most 2 ulp."""
    size = torch.maximum(step.before.abs(), step.after.abs())
    limit = 2.0 * (torch.nextafter(size, torch.full_like(size, math.inf)) - size)
    return torch.clamp(rest, min=-limit, max=limit)


def norms(lines: Iterable[Tensor]) -> float:
    """Return the sum of the norms of some lines."""
    return sum(float(line.norm()) for line in lines)
