"""Adam and AdamW, with AMSGrad: their step and the derivatives of it.

    h = s g + lambda theta (Adam)       theta_1 = (1 - eta lambda) theta (AdamW)
    m' = b1 m + (1 - b1) h              v' = b2 v + (1 - b2) h^2
    theta' = theta_1 - a m' / r,        r = sqrt(u) / sqrt(c2) + eps,   a = eta / c1
    u = v', with AMSGrad max(u_before, v');   c1 = 1 - b1^t,  c2 = 1 - b2^t

sqrt has no derivative at 0. There u, and with it every gradient so far, is 0, and so is m': what
the quotient does with a small gradient is then decided by eps alone, and the derivative through u
is taken as 0.

A blunted derivative takes sqrt(u / c2 + blunt^2) for sqrt(u / c2): where gradients are smaller than
``blunt``, the step of a scale-free optimizer turns with their sign, and its derivative, though
exact, holds for changes alone that are smaller still. What such a prediction gains is measured.

Source: torch.optim.Adam, torch.optim.AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, optim

from gradledger.replay.adjoint.transition import Moment, State, Transition, register

_M, _V, _U = "exp_avg", "exp_avg_sq", "max_exp_avg_sq"


@register
class AdamTransition(Transition):
    """``torch.optim.Adam`` and ``AdamW``."""

    classes: ClassVar[tuple[type[optim.Optimizer], ...]] = (optim.Adam, optim.AdamW)
    settings: ClassVar[tuple[str, ...]] = ("lr", "eps", "weight_decay", "amsgrad", "maximize")
    buffers: ClassVar[tuple[str, ...]] = (_M, _V)

    def note(self, param_group: Mapping[str, Any]) -> dict[str, float]:
        """Return the settings with both decay rates."""
        beta1, beta2 = (float(beta) for beta in param_group["betas"])
        # AdamW is Adam with this flag in current versions of torch.
        decoupled = float(bool(param_group.get("decoupled_weight_decay", False)))
        return {**super().note(param_group), "beta1": beta1, "beta2": beta2, "decoupled": decoupled}

    def names(self, settings: Mapping[str, float]) -> tuple[str, ...]:
        """Return both moments, with AMSGrad also the largest second one."""
        return (*self.buffers, _U) if settings["amsgrad"] else self.buffers

    def forward(self, moment: Moment) -> tuple[Tensor, State]:
        """Take the step."""
        now = _Step.of(moment)
        after = {_M: now.first, _V: now.second}
        if moment.settings["amsgrad"]:
            after[_U] = now.largest
        return now.kept * moment.theta - now.rate * now.first / now.root, after

    def pull(self, moment: Moment, theta: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Return the adjoints before the step."""
        now, settings = _Step.of(moment), moment.settings
        b1, b2 = settings["beta1"], settings["beta2"]
        before: State = {}
        first = torch.addcmul(state[_M], now.rate / now.root, theta, value=-1)
        second = torch.addcmul(state[_V], now.slope, theta)
        if settings["amsgrad"]:
            through = torch.addcmul(state[_U], now.slope, theta)
            grown = now.second >= now.largest_before
            before[_U] = torch.where(grown, 0.0, through)
            second = state[_V] + torch.where(grown, through, 0.0)
        asked = torch.addcmul((1.0 - b1) * first, 2.0 * (1.0 - b2) * now.asked, second)
        before[_M], before[_V] = first.mul_(b1), second.mul_(b2)
        return now.kept * theta + now.coupled * asked, before, now.sign * asked

    def push(
        self, moment: Moment, theta: Tensor, state: State, gradient: Tensor
    ) -> tuple[Tensor, State]:
        """Return the tangents after the step."""
        now, settings = _Step.of(moment), moment.settings
        b1, b2 = settings["beta1"], settings["beta2"]
        asked = now.sign * gradient + now.coupled * theta
        first = b1 * state[_M] + (1.0 - b1) * asked
        second = b2 * state[_V] + 2.0 * (1.0 - b2) * now.asked * asked
        after, largest = {_M: first, _V: second}, second
        if settings["amsgrad"]:
            grown = now.second >= now.largest_before
            after[_U] = largest = torch.where(grown, second, state[_U])
        return now.kept * theta - now.rate / now.root * first + now.slope * largest, after


@dataclass(frozen=True)
class _Step:
    """What the formulas at the top name."""

    asked: Tensor
    first: Tensor
    second: Tensor
    largest: Tensor
    largest_before: Tensor
    root: Tensor
    #: d theta' / d u
    slope: Tensor
    rate: float
    kept: float
    coupled: float
    sign: float

    @staticmethod
    def of(moment: Moment) -> _Step:
        settings, state = moment.settings, moment.state
        b1, b2, decay = settings["beta1"], settings["beta2"], settings["weight_decay"]
        decoupled = bool(settings["decoupled"])
        sign = -1.0 if settings["maximize"] else 1.0
        coupled = 0.0 if decoupled else decay
        asked = sign * moment.gradient
        if coupled:
            asked = asked + coupled * moment.theta
        first, second = (1.0 - b1) * asked, (1.0 - b2) * asked * asked
        nothing = torch.zeros_like(asked)
        if moment.count:
            first, second = first + b1 * state[_M], second + b2 * state[_V]
        before = state[_U] if settings["amsgrad"] and moment.count else nothing
        largest = torch.maximum(before, second) if settings["amsgrad"] else second
        count = moment.count + 1
        correction = math.sqrt(1.0 - b2**count)
        rate = settings["lr"] / (1.0 - b1**count)
        height = (
            (largest + (moment.blunt * correction) ** 2).sqrt() if moment.blunt else largest.sqrt()
        )
        root = height / correction + settings["eps"]
        slope = rate * first / (root * root * 2.0 * height * correction)
        return _Step(
            asked,
            first,
            second,
            largest,
            before,
            root,
            torch.where(height > 0, slope, 0.0),
            rate,
            1.0 - settings["lr"] * decay if decoupled else 1.0,
            coupled,
            sign,
        )
