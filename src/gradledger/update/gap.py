"""A capture gap above its bar: how much of it the rounding of the gradient's sum can explain.

The gap stays whole in its line. What is parted here serves the verdict alone: a gap within the
bound says that the gradient itself is noise, so that nothing can be tested; what exceeds the bound
was missed by capture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradledger.update.passes import pieces
from gradledger.update.realised import Realised

__all__ = ["GapNoise", "part_gap"]


@dataclass(frozen=True, slots=True)
class GapNoise:
    """The gap of one tensor against the rounding noise of its gradient.

    Attributes:
        bound_square: Squared norm of C kappa times the bound.
        excess_square: Squared norm of C kappa times what of the gap is beyond the bound.
    """

    bound_square: float
    excess_square: float


@torch.no_grad()
def part_gap(
    realised: Realised, kappa: float, *, g_raw: Tensor, captured: Tensor, noise: Tensor
) -> GapNoise:
    """Part the capture gap of one tensor into rounding noise and the rest, element by element.

    Args:
        realised: The law of the step.
        kappa: Clip factor of the tensor.
        g_raw: Gradient that autograd accumulated.
        captured: Sum of gamma_v over the visits, same shape.
        noise: Bound on how far the two may differ by rounding, one number per element.
    """
    raw, visits, bounds = (x.detach().reshape(-1) for x in (g_raw, captured, noise))
    if realised.mixing is not None:
        return _part_mixed(realised, kappa, raw.double() - visits.double(), bounds.double(), g_raw)
    scale = None if realised.gradient_scale is None else realised.gradient_scale.reshape(-1)
    bound_square = excess_square = 0.0
    for piece in pieces(raw.numel(), raw.device):
        bound = bounds[piece].double()
        gap = raw[piece].double() - visits[piece].double()
        rest = gap - torch.clamp(gap, -bound, bound)
        if scale is not None:
            rest, bound = rest * scale[piece], bound * scale[piece]
        bound_square += float(torch.dot(bound, bound))
        excess_square += float(torch.dot(rest, rest))
    factor = (realised.gradient_factor * kappa) ** 2
    return GapNoise(bound_square * factor, excess_square * factor)


def _part_mixed(
    realised: Realised, kappa: float, gap: Tensor, bound: Tensor, like: Tensor
) -> GapNoise:
    """Do the same through a matrix: a bound goes through its absolute values."""
    mixing = realised.mixing
    if mixing is None:
        return GapNoise(0.0, 0.0)
    rest = mixing.apply((gap - torch.clamp(gap, -bound, bound)).view_as(like)).double()
    limit = mixing.absolute().apply(bound.view_as(like)).double()
    factor = (realised.gradient_factor * kappa) ** 2
    return GapNoise(float(limit.square().sum()) * factor, float(rest.square().sum()) * factor)
