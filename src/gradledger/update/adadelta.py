"""Adadelta: no momentum; the rate of each element is a ratio of two running means.

    delta = -eta sqrt(u_before + eps) / sqrt(v + eps) g

with u the mean of squared changes as it stood *before* the step, v the mean of squared gradients
after it, and g the signed gradient plus lambda theta. C = -A, B = 0.

Source: torch.optim.Adadelta; Zeiler, arXiv:1212.5701.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.update.family import Before, Family, copy_into, register
from gradledger.update.moment import step_after, step_count
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised, direct_law
from gradledger.update.settings import read_settings

__all__ = ["AdadeltaFamily"]

_FLOATS = ("lr", "eps", "weight_decay", "maximize")


@register
class AdadeltaFamily(Family):
    """``torch.optim.Adadelta`` with all its options."""

    name: ClassVar[str] = "adadelta"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.Adadelta,)

    def remember(
        self,
        gradient: Tensor,
        state: Mapping[str, Any],
        param_group: Mapping[str, Any],
        reuse: Before | None,
    ) -> Before:
        """Copy the mean of squared changes, which the step overwrites (no momentum in the law)."""
        settings = read_settings(param_group, _FLOATS)
        changes = state.get("acc_delta")
        copied = None if changes is None else copy_into(changes, reuse)
        return Before(gradient, settings, copied, step_count(state), changes is None)

    def read_law(self, before: Before, state: Mapping[str, Any]) -> Realised:
        """Read the law of the step that was taken."""
        settings = before.settings
        step_after(before, state)
        second: Tensor = state["square_avg"].detach()
        compute = precision_of(second.dtype).compute
        scale = second.to(compute).add(settings["eps"]).rsqrt_()
        changes = torch.zeros_like(scale) if before.momentum is None else before.momentum
        scale.mul_(changes.to(compute).add(settings["eps"]).sqrt_())
        return direct_law(
            settings, rate=settings["lr"], scale=scale, coupled=settings["weight_decay"]
        )
