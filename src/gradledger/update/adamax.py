"""Adamax: Adam with a decaying maximum in place of the second moment.

    delta = -eta / (1 - b1^t) m_after / u,   u = max(b2 u_before, |g| + eps)

The law is that of ``moment`` with p = eta / (1 - b1^t), q = 0, r = b1, i = 1 - b1 and scale 1 / u;
decay is coupled.

Source: torch.optim.Adamax; Kingma and Ba, arXiv:1412.6980, section 7.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.update.account import Account
from gradledger.update.family import Before, Family, copy_into, register
from gradledger.update.moment import FirstMoment, refuse_betas, step_after, step_count
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised

__all__ = ["AdamaxFamily"]

_FLOATS = ("lr", "weight_decay", "maximize")


@register
class AdamaxFamily(Family):
    """``torch.optim.Adamax`` with all its options."""

    name: ClassVar[str] = "adamax"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.Adamax,)

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
        state = optimizer.state[parameter]
        numbers = _numbers(before.settings, step_after(before, state))
        decay = before.settings["weight_decay"]
        return numbers.law(before, state["exp_avg"], _scale(state), coupled=decay)

    def open_account(
        self, optimizer: Optimizer, parameter: Tensor, param_group: Mapping[str, Any]
    ) -> Account:
        """Value the first moment at today's settings."""
        state: Mapping[str, Any] = optimizer.state.get(parameter, {})
        step = step_count(state)
        if step == 0:
            return Account()
        numbers = _numbers(_settings(param_group), step)
        return numbers.open(parameter, state["exp_avg"], _scale(state))


def _settings(param_group: Mapping[str, Any]) -> dict[str, float]:
    settings = {name: float(param_group[name]) for name in _FLOATS}
    settings["beta1"] = float(param_group["betas"][0])
    return settings


def _numbers(settings: Mapping[str, float], step: int) -> FirstMoment:
    beta = settings["beta1"]
    return FirstMoment(settings["lr"] / (1.0 - beta**step), 0.0, beta, 1.0 - beta)


def _scale(state: Mapping[str, Any]) -> Tensor:
    largest: Tensor = state["exp_inf"].detach()
    return largest.to(precision_of(largest.dtype).compute).reciprocal()
