"""NAdam: Adam with Nesterov momentum and a schedule of its own for it.

    delta = -eta ((1 - mu_t) / (1 - prod_t) g + mu_{t+1} / (1 - prod_t mu_{t+1}) m_after) / d

with d = sqrt(v / (1 - b2^t)) + eps, mu_t = b1 (1 - 0.96^(t psi) / 2), and prod_t the product of all
mu so far, which torch keeps in the state. The law is that of ``moment`` with r = b1, i = 1 - b1 and
scale 1 / d, so A = eta ((1 - mu_t) / (1 - prod_t) + mu_{t+1} / (1 - prod_t mu_{t+1})) / d.

Source: torch.optim.NAdam; Dozat, "Incorporating Nesterov momentum into Adam", 2016.
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

__all__ = ["NAdamFamily"]

_FLOATS = ("lr", "eps", "weight_decay", "momentum_decay", "maximize", "decoupled_weight_decay")

# The constant of torch's schedule of mu.
_BASE = 0.96


@register
class NAdamFamily(Family):
    """``torch.optim.NAdam`` with all its options."""

    name: ClassVar[str] = "nadam"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.NAdam,)

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
        step = step_after(before, state)
        decay = settings["weight_decay"]
        decoupled = bool(settings["decoupled_weight_decay"])
        return _numbers(settings, state, step).law(
            before,
            state["exp_avg"],
            _scale(state, settings, step),
            coupled=0.0 if decoupled else decay,
            decoupled=settings["lr"] * decay if decoupled else 0.0,
        )

    def open_account(
        self, optimizer: Optimizer, parameter: Tensor, param_group: Mapping[str, Any]
    ) -> Account:
        """Value the first moment at today's settings."""
        state: Mapping[str, Any] = optimizer.state.get(parameter, {})
        step, settings = step_count(state), _settings(param_group)
        if step == 0:
            return Account()
        scale = _scale(state, settings, step)
        return _numbers(settings, state, step).open(parameter, state["exp_avg"], scale)


def _settings(param_group: Mapping[str, Any]) -> dict[str, float]:
    settings = {name: float(param_group[name]) for name in _FLOATS}
    settings["beta1"], settings["beta2"] = (float(beta) for beta in param_group["betas"])
    return settings


def _numbers(settings: Mapping[str, float], state: Mapping[str, Any], step: int) -> FirstMoment:
    eta, beta, decay = settings["lr"], settings["beta1"], settings["momentum_decay"]
    now, following = (beta * (1.0 - 0.5 * _BASE ** (t * decay)) for t in (step, step + 1))
    product = float(state["mu_product"])
    direct = eta * (1.0 - now) / (1.0 - product)
    return FirstMoment(eta * following / (1.0 - product * following), direct, beta, 1.0 - beta)


def _scale(state: Mapping[str, Any], settings: Mapping[str, float], step: int) -> Tensor:
    second: Tensor = state["exp_avg_sq"].detach()
    second = second.to(precision_of(second.dtype).compute)
    corrected = second.div(1.0 - settings["beta2"] ** step)
    return corrected.sqrt_().add_(settings["eps"]).reciprocal_()
