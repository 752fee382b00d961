"""Biases: the gradient of a row is the sum of its output gradients over positions."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gradledger.gradient.dense import Dense


def bias_form(output_grads: Float[Tensor, "R T O"]) -> Dense:
    """Return the per-example gradients of an additive bias of width O.

    The output gradients stay in memory until the step is booked, as they do for the weight.
    """
    return Dense.summed(output_grads)
