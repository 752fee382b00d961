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

from gradledger.update.family import register
from gradledger.update.moment import FirstMoment
from gradledger.update.moment_family import FirstMomentFamily
from gradledger.update.precision import precision_of

__all__ = ["RAdamFamily"]

# Length of the moving average from which torch rectifies.
_RECTIFIED: Final = 5.0


@register
class RAdamFamily(FirstMomentFamily):
    """``torch.optim.RAdam`` with all its options."""

    name: ClassVar[str] = "radam"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.RAdam,)
    floats: ClassVar[tuple[str, ...]] = (
        "lr",
        "eps",
        "weight_decay",
        "maximize",
        "decoupled_weight_decay",
    )

    def numbers(
        self, settings: Mapping[str, float], state: Mapping[str, Any], step: int
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
