"""RAdam: Adam that waits for its second moment.

    rectified (rho_t > 5):  delta = -eta r_t sqrt(1 - b2^t) / (1 - b1^t) m_after / (sqrt(v) + eps)
    before that:            delta = -eta / (1 - b1^t) m_after

The law is that of ``moment`` with p the number in front of m_after, q = 0, r = b1, i = 1 - b1. At
the step where rectification sets in all outstanding momentum is revalued.

Source: torch.optim.RAdam; Liu et al., arXiv:1908.03265.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.update.account import Account
from gradledger.update.family import Before, Family, copy_into, register
from gradledger.update.moment import FirstMoment, refuse_betas, step_after, step_count
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised

__all__ = ["RAdamFamily"]

_FLOATS = ("lr", "eps", "weight_decay", "maximize", "decoupled_weight_decay")

# Length of the moving average from which torch rectifies.
_RECTIFIED: Final = 5.0


@register
class RAdamFamily(Family):
    """``torch.optim.RAdam`` with all its options."""

    name: ClassVar[str] = "radam"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.RAdam,)

    def check_settings(self, param_group: Mapping[str, Any], where: str = "") -> None:
        """Refuse betas that a schedule moved out of range.

        Raises:
            UpdateError: U102.
        """
        super().check_settings(param_group, where)
        refuse_betas(param_group, where)

    def remember(
        self,
        gradient: Tensor,
        state: Mapping[str, Any],
        param_group: Mapping[str, Any],
        reuse: Before | None,
    ) -> Before:
        """Copy the first moment."""
        moment = state.get("exp_avg")
        momentum = None if moment is None else copy_into(moment, reuse)
        return Before(gradient, _settings(param_group), momentum, step_count(state), moment is None)

    def after(self, before: Before, optimizer: Optimizer, parameter: Tensor) -> Realised | None:
        """Read the law of the step that was taken."""
        if before.skipped:
            return None
        state, settings = optimizer.state[parameter], before.settings
        numbers, scale = _numbers(state, settings, step_after(before, state))
        decay = settings["weight_decay"]
        decoupled = bool(settings["decoupled_weight_decay"])
        return numbers.law(
            before,
            state["exp_avg"],
            scale,
            coupled=0.0 if decoupled else decay,
            decoupled=settings["lr"] * decay if decoupled else 0.0,
        )

    def open_account(
        self, optimizer: Optimizer, parameter: Tensor, param_group: Mapping[str, Any]
    ) -> Account:
        """Value the first moment at today's settings."""
        state: Mapping[str, Any] = optimizer.state.get(parameter, {})
        step = step_count(state)
        if step == 0:
            return Account()
        numbers, scale = _numbers(state, _settings(param_group), step)
        return numbers.open(parameter, state["exp_avg"], scale)


def _settings(param_group: Mapping[str, Any]) -> dict[str, float]:
    settings = {name: float(param_group[name]) for name in _FLOATS}
    settings["beta1"], settings["beta2"] = (float(beta) for beta in param_group["betas"])
    return settings


def _numbers(
    state: Mapping[str, Any], settings: Mapping[str, float], step: int
) -> tuple[FirstMoment, Tensor | None]:
    """Return the numbers of the law and its scale, which the phase decides."""
    beta1, beta2 = settings["beta1"], settings["beta2"]
    rate = settings["lr"] / (1.0 - beta1**step)
    correction = 1.0 - beta2**step
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * step * beta2**step / correction
    if length <= _RECTIFIED:
        return FirstMoment(rate, 0.0, beta1, 1.0 - beta1), None
    above = (length - 4.0) * (length - 2.0) * longest
    rate *= math.sqrt(above / ((longest - 4.0) * (longest - 2.0) * length) * correction)
    second: Tensor = state["exp_avg_sq"].detach()
    scale = second.to(precision_of(second.dtype).compute).sqrt().add_(settings["eps"])
    return FirstMoment(rate, 0.0, beta1, 1.0 - beta1), scale.reciprocal_()
