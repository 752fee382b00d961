"""The frozen-curvature adjoint, backward and forward.

What a gradient of step s still does up to the last step, with decay and with second moments as
they were: the backward recursion gives its inner product with one end vector q for every gradient
at once, the forward course gives one gradient's whole effect as a vector.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from benchmarks.optimizer_steps import Taken, cash, rounding
from torch import Tensor


def adjoint_error(steps: Sequence[Taken], q: Tensor) -> float:
    """Hold the backward recursion against the forward course of every single gradient.

    f_s = P_s Pi_{>s} q + b1_{s+1} f_{s+1};  e_s = (1 - b1_s) f_s;  <q, D_v> = kappa <e_s, gamma_v>.
    """
    adjoints, opening, shrink = backward(steps, q)
    worst, total, size = 0.0, 0.0, 0.0
    for place, (step, adjoint) in enumerate(zip(steps, adjoints, strict=True)):
        rest = rounding(step, step.delta - sum(cash(step)))
        for part in step.gradients:
            value = float((adjoint * part).sum())
            course = forward(steps[place:], part)
            total, length = total + value, float(course.norm())
            size += length
            if length:
                error = abs(value - float((q * course).sum()))
                worst = max(worst, error / (float(q.norm()) * length))
        total += float((q * kept(steps[place + 1 :]) * rest).sum())
    first, last = steps[0], steps[-1]
    decay, carried = (shrink - 1.0) * first.before, opening * first.momentum_before
    total += float((q * decay).sum()) + float(carried.sum())
    size = float(q.norm()) * (size + float(decay.norm())) + float(carried.norm())
    return max(worst, abs(total - float((q * (last.after - first.before)).sum())) / size)


def backward(steps: Sequence[Taken], q: Tensor) -> tuple[list[Tensor], Tensor, float]:
    """Return e of every step, the adjoint of the opening momentum, and Pi over all steps."""
    following, retained, shrink = torch.zeros_like(q), 0.0, 1.0
    adjoints: list[Tensor] = []
    for step in reversed(steps):
        # Without momentum a gradient acts once, and P is C itself.
        intake = step.row.intake or 1.0
        following = step.row.gradient / intake * shrink * q + retained * following
        adjoints.append(intake * following)
        retained = step.row.retain
        shrink *= 1.0 - step.row.decoupled
    return adjoints[::-1], retained * following, shrink


def forward(steps: Sequence[Taken], part: Tensor) -> Tensor:
    """Follow one gradient through momentum and decay to the end of the steps, rates as realised."""
    moved, momentum = torch.zeros_like(part), torch.zeros_like(part)
    for place, step in enumerate(steps):
        row = step.row
        moved = (1.0 - row.decoupled) * moved + row.history * momentum
        momentum = row.retain * momentum
        if place == 0:
            moved, momentum = row.gradient * part, row.intake * part
    return moved


def kept(steps: Iterable[Taken]) -> float:
    """Return the share of a parameter that decay leaves over some steps."""
    return math.prod(1.0 - step.row.decoupled for step in steps)
