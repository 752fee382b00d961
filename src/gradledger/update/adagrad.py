"""Adagrad: no momentum, every gradient acts at once.

    delta = -eta_t g / (sqrt(sum of squares) + eps),   eta_t = eta / (1 + (t - 1) eta_decay)

with g the signed gradient plus lambda theta. C = -A, B = 0.

Source: torch.optim.Adagrad; Duchi, Hazan and Singer, JMLR 12, 2011.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from gradledger.update.family import Before, Family, register
from gradledger.update.moment import step_after, step_count
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised, direct_law
from gradledger.update.settings import read_settings

__all__ = ["AdagradFamily"]

_FLOATS = ("lr", "lr_decay", "eps", "weight_decay", "maximize")


@register
class AdagradFamily(Family):
    """``torch.optim.Adagrad`` with all its options."""

    name: ClassVar[str] = "adagrad"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.Adagrad,)

    def remember(
        self,
        gradient: Tensor,
        state: Mapping[str, Any],
        param_group: Mapping[str, Any],
        reuse: Before | None,  # noqa: ARG002 - nothing is copied
    ) -> Before:
        """Remember settings alone: the sum of squares is read after the step."""
        settings = read_settings(param_group, _FLOATS)
        step = step_count(state)
        return Before(gradient, settings, None, step, step == 0)

    def read_law(self, before: Before, state: Mapping[str, Any]) -> Realised:
        """Read the law of the step that was taken."""
        settings = before.settings
        step = step_after(before, state)
        total: Tensor = state["sum"].detach()
        scale = total.to(precision_of(total.dtype).compute).sqrt().add_(settings["eps"])
        return direct_law(
            settings,
            rate=settings["lr"] / (1.0 + (step - 1) * settings["lr_decay"]),
            scale=scale.reciprocal_(),
            coupled=settings["weight_decay"],
        )
