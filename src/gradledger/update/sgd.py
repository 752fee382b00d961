"""SGD: plain, with momentum, with Nesterov momentum.

With mu the momentum, i the share of the gradient that enters the buffer (1 - tau, or 1 at the step
that creates it) and eta the rate, torch computes

    plain momentum:  delta = -eta b_after                 C = -eta i           H = -eta mu
    Nesterov:        delta = -eta (g + mu b_after)        C = -eta (1 + mu i)  H = -eta mu^2
    b_after = mu b_before + i g

The inventory coefficient solves H = B (mu - 1), the incurred one C = B i - A. torch ignores the
dampening tau where mu is 0 and at the step that creates the buffer, tensor by tensor.

Source: torch.optim.SGD; Sutskever et al., "On the importance of initialization and momentum in
deep learning", 2013.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.errors import UpdateError
from gradledger.update.account import Account
from gradledger.update.family import Before, Family, copy_into, register
from gradledger.update.realised import Realised
from gradledger.update.settings import read_settings

__all__ = ["SgdFamily"]

_FLOATS = ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")


@register
class SgdFamily(Family):
    """``torch.optim.SGD`` with all its options."""

    name: ClassVar[str] = "sgd"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.SGD,)

    def remember(
        self,
        gradient: Tensor,
        state: Mapping[str, Any],
        param_group: Mapping[str, Any],
        reuse: Before | None,
    ) -> Before:
        """Copy the momentum buffer, where there is one and it is used."""
        settings = read_settings(param_group, _FLOATS)
        buffer = state.get("momentum_buffer") if settings["momentum"] else None
        momentum = None if buffer is None else copy_into(buffer, reuse)
        if _overwrites_gradient(param_group, gradient.device):
            gradient = gradient.clone()
        first = bool(settings["momentum"]) and buffer is None
        return Before(gradient, settings, momentum, 0, first)

    def read_law(self, before: Before, state: Mapping[str, Any]) -> Realised:
        """Read the law of the step that was taken."""
        settings = before.settings
        eta, mu = settings["lr"], settings["momentum"]
        intake = 1.0 if before.first else 1.0 - settings["dampening"]
        cash, carried = _unit_coefficients(settings, intake)
        stored = carried / (1.0 - mu)  # B / eta
        incurred = stored * intake + cash  # A / eta, where mu is 0: 1
        momentum_after = state.get("momentum_buffer") if mu else None
        if mu and momentum_after is None:
            raise UpdateError(
                "U104",
                observed="no momentum buffer after the step",
                expected="a momentum buffer",
                hint="read the law right after optimizer.step()",
            )
        return Realised(
            sign=-1.0 if settings["maximize"] else 1.0,
            gradient_factor=-eta * cash,
            history_factor=0.0 if before.momentum is None else -eta * carried,
            incurred_factor=eta * incurred,
            inventory_factor=eta * stored,
            gradient_scale=None,
            carried_scale=None,
            momentum_before=before.momentum,
            momentum_after=momentum_after,
            # Without momentum torch leaves an old buffer as it is.
            retain=mu or 1.0,
            intake=intake if mu else 0.0,
            coupled_decay=settings["weight_decay"],
            decoupled_decay=0.0,
            cash_factor=cash / incurred if incurred else 1.0 - mu,
            learning_rate=eta,
        )

    def open_account(
        self, optimizer: Optimizer, parameter: Tensor, param_group: Mapping[str, Any]
    ) -> Account:
        """Value the momentum buffer at today's rate and momentum."""
        settings = read_settings(param_group, _FLOATS)
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if buffer is None or not settings["momentum"]:
            return Account()
        carried = _unit_coefficients(settings, 1.0)[1]
        value = settings["lr"] * carried / (1.0 - settings["momentum"])
        return Account.from_tensors({"inventory": buffer.detach() * value}, parameter)


def _unit_coefficients(settings: Mapping[str, float], intake: float) -> tuple[float, float]:
    """Return -C / eta and -H / eta."""
    mu = settings["momentum"]
    if not mu:
        return 1.0, 0.0
    if settings["nesterov"]:
        return 1.0 + mu * intake, mu * mu
    return intake, mu


def _overwrites_gradient(param_group: Mapping[str, Any], device: torch.device) -> bool:
    """Nesterov's foreach form adds the momentum to ``grad`` itself, unless it made a copy."""
    foreach = param_group["foreach"]
    if foreach is None:  # torch's own choice: never on a CPU
        foreach = device.type != "cpu"
    copies = param_group["maximize"] or float(param_group["weight_decay"]) != 0.0
    return bool(param_group["nesterov"] and foreach and not copies)
