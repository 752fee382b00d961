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

from gradledger.update.family import register
from gradledger.update.moment import FirstMoment
from gradledger.update.moment_family import FirstMomentFamily
from gradledger.update.precision import precision_of

__all__ = ["NAdamFamily"]

# The constant of torch's schedule of mu.
_BASE = 0.96


@register
class NAdamFamily(FirstMomentFamily):
    """``torch.optim.NAdam`` with all its options."""

    name: ClassVar[str] = "nadam"
    classes: ClassVar[tuple[type[Optimizer], ...]] = (torch.optim.NAdam,)
    floats: ClassVar[tuple[str, ...]] = (
        "lr",
        "eps",
        "weight_decay",
        "momentum_decay",
        "maximize",
        "decoupled_weight_decay",
    )

    def numbers(
        self, settings: Mapping[str, float], state: Mapping[str, Any], step: int
    ) -> tuple[FirstMoment, Tensor | None]:
        """Return the numbers of the law, and 1 / d."""
        eta, beta, decay = settings["lr"], settings["beta1"], settings["momentum_decay"]
        now, following = (beta * (1.0 - 0.5 * _BASE ** (t * decay)) for t in (step, step + 1))
        product = float(state["mu_product"])
        direct = eta * (1.0 - now) / (1.0 - product)
        through = eta * following / (1.0 - product * following)
        second: Tensor = state["exp_avg_sq"].detach()
        second = second.to(precision_of(second.dtype).compute)
        corrected = second.div(1.0 - settings["beta2"] ** step)
        scale = corrected.sqrt_().add_(settings["eps"]).reciprocal_()
        return FirstMoment(through, direct, beta, 1.0 - beta), scale
