"""RMSprop: plain, centred, with momentum.

With d the root of the (centred) second moment plus epsilon, as the step left it:

    plain:     delta = -eta g / d              C = -eta / d = -A
    momentum:  delta = -eta b_after            C = -eta / d             H = -eta mu
               b_after = mu b_before + g / d   A = eta / ((1 - mu) d)   B = eta mu / (1 - mu)

with g the signed gradient plus lambda theta. The buffer keeps the *old* denominators: what a past
gradient put there is not divided again, so H and B are plain numbers.

Source: torch.optim.RMSprop; Tieleman and Hinton, lecture 6.5, 2012; Graves, arXiv:1308.0850.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.update.account import Account
from gradledger.update.family import Before, Family, copy_into, register
from gradledger.update.moment import step_after, step_count
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised
from gradledger.update.settings import read_settings

__all__ = ["RMSpropFamily"]

_FLOATS = ("lr", "eps", "weight_decay", "momentum", "centered", "maximize")


@register
class RMSpropFamily(Family):
    """``torch.optim.RMSprop`` with all its options."""

    name: ClassVar[str] = "rmsprop"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.RMSprop,)

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
        return Before(gradient, settings, momentum, step_count(state), not state)

    def read_law(self, before: Before, state: Mapping[str, Any]) -> Realised:
        """Read the law of the step that was taken."""
        settings = before.settings
        step_after(before, state)
        eta, mu = settings["lr"], settings["momentum"]
        return Realised(
            sign=-1.0 if settings["maximize"] else 1.0,
            gradient_factor=-eta,
            history_factor=0.0 if before.momentum is None else -eta * mu,
            incurred_factor=eta / (1.0 - mu),
            inventory_factor=eta * mu / (1.0 - mu),
            gradient_scale=_scale(state, settings),
            carried_scale=None,
            momentum_before=before.momentum,
            momentum_after=state["momentum_buffer"] if mu else None,
            # Without momentum torch leaves an old buffer as it is.
            retain=mu or 1.0,
            intake=1.0 if mu else 0.0,
            coupled_decay=settings["weight_decay"],
            decoupled_decay=0.0,
            cash_factor=1.0 - mu,
            learning_rate=eta,
            scaled_intake=True,
        )

    def open_account(
        self, optimizer: Optimizer, parameter: Tensor, param_group: Mapping[str, Any]
    ) -> Account:
        """Value the momentum buffer at today's rate and momentum."""
        eta, mu = float(param_group["lr"]), float(param_group["momentum"])
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if buffer is None or not mu:
            return Account()
        value = buffer.detach() * (eta * mu / (1.0 - mu))
        return Account.from_tensors({"inventory": value}, parameter)


def _scale(state: Mapping[str, Any], settings: Mapping[str, float]) -> Tensor:
    """Return 1 / d. The centred form cancels, so it is taken in the format in which torch did."""
    second: Tensor = state["square_avg"].detach()
    if settings["centered"]:
        mean: Tensor = state["grad_avg"].detach()
        second = second.addcmul(mean, mean, value=-1)
    root = second.sqrt().to(precision_of(second.dtype).compute)
    return root.add_(settings["eps"]).reciprocal_()
