"""Adam, AdamW and AMSGrad.

    delta = -eta / (1 - b1^t) m_after / (sqrt(vhat) + eps) - omega theta,   vhat = v / (1 - b2^t)
    m_after = b1 m_before + (1 - b1) (s g + lambda theta)

AMSGrad takes the running maximum over the *uncorrected* v and corrects that. ``Adam`` couples its
decay to the gradient (lambda), ``AdamW`` takes it from the parameter (omega = eta lambda).

With c = sqrt(1 - b2^t), 1 / (sqrt(vhat) + eps) = c / (sqrt(v) + eps c): the scale shared by all
coefficients is 1 / (sqrt(v) + eps c), and c goes into the factors.

Source: torch.optim.Adam; Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101;
Reddi et al., "On the Convergence of Adam and Beyond", 2018.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.update.account import Account
from gradledger.update.compiled import inverse_root
from gradledger.update.family import Before, register
from gradledger.update.moment import step_after, step_count
from gradledger.update.moment_family import MomentFamily, parted_decay
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised
from gradledger.update.settings import read_settings

__all__ = ["AdamFamily"]


@register
class AdamFamily(MomentFamily):
    """``torch.optim.Adam`` and ``torch.optim.AdamW`` with all their options."""

    name: ClassVar[str] = "adam"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.Adam, torch.optim.AdamW)
    floats: ClassVar[tuple[str, ...]] = (
        "lr",
        "eps",
        "weight_decay",
        "amsgrad",
        "maximize",
        "decoupled_weight_decay",
    )

    def read_law(self, before: Before, state: Mapping[str, Any]) -> Realised:
        """Read the law of the step that was taken."""
        settings = before.settings
        step = step_after(before, state)
        beta = settings["beta1"]
        rate = _rate(settings, step)
        coupled, decoupled = parted_decay(settings)
        scale = _scale(state, settings, step)
        return Realised(
            sign=-1.0 if settings["maximize"] else 1.0,
            gradient_factor=-rate * (1.0 - beta),
            history_factor=0.0 if before.momentum is None else -rate * beta,
            incurred_factor=rate,
            inventory_factor=rate * beta / (1.0 - beta),
            gradient_scale=scale,
            carried_scale=scale,
            momentum_before=before.momentum,
            momentum_after=state["exp_avg"],
            retain=beta,
            intake=1.0 - beta,
            coupled_decay=coupled,
            decoupled_decay=decoupled,
            cash_factor=1.0 - beta,
            learning_rate=settings["lr"],
        )

    def open_account(
        self, optimizer: Optimizer, parameter: Tensor, param_group: Mapping[str, Any]
    ) -> Account:
        """Value the first moment at today's settings and the second moment as it stands."""
        state: Mapping[str, Any] = optimizer.state.get(parameter, {})
        step = step_count(state)
        settings = read_settings(param_group, self.floats)
        if step == 0 or not settings["beta1"]:
            return Account()
        beta = settings["beta1"]
        scale = _scale(state, settings, step)
        value = scale.mul_(_rate(settings, step) * beta / (1.0 - beta)).mul_(state["exp_avg"])
        return Account.from_tensors({"inventory": value}, parameter)


def _rate(settings: Mapping[str, float], step: int) -> float:
    """Return eta c / (1 - b1^t): everything in A that is not elementwise."""
    correction = math.sqrt(1.0 - settings["beta2"] ** step)
    return settings["lr"] * correction / (1.0 - settings["beta1"] ** step)


def _scale(state: Mapping[str, Any], settings: Mapping[str, float], step: int) -> Tensor:
    """Return 1 / (sqrt(v) + eps c), in the format in which lines are computed."""
    second: Tensor = state["max_exp_avg_sq" if settings["amsgrad"] else "exp_avg_sq"].detach()
    second = second.to(precision_of(second.dtype).compute)
    correction = math.sqrt(1.0 - settings["beta2"] ** step)
    return inverse_root(second, settings["eps"] * correction)
