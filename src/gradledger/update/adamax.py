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

from gradledger.update.family import register
from gradledger.update.moment import FirstMoment
from gradledger.update.moment_family import FirstMomentFamily
from gradledger.update.precision import precision_of

__all__ = ["AdamaxFamily"]


@register
class AdamaxFamily(FirstMomentFamily):
    """``torch.optim.Adamax`` with all its options."""

    name: ClassVar[str] = "adamax"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.Adamax,)
    floats: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "maximize")

    def numbers(
        self, settings: Mapping[str, float], state: Mapping[str, Any], step: int
    ) -> tuple[FirstMoment, Tensor | None]:
        """Return the numbers of the law, and 1 / u."""
        beta = settings["beta1"]
        largest: Tensor = state["exp_inf"].detach()
        scale = largest.to(precision_of(largest.dtype).compute).reciprocal()
        return FirstMoment(settings["lr"] / (1.0 - beta**step), 0.0, beta, 1.0 - beta), scale
