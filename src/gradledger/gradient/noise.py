"""How much rounding there is in a sum of gradients: what two ways of adding up may differ by.

Some gradients vanish by symmetry (a bias of attention keys, a bias before a normalisation): their
terms cancel and only rounding is left. How large that rounding is, the sum no longer tells; the
size of its terms does.

Shape legend: R rows, T positions, P elements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from gradledger.gradient.capture import Use

#: Factor on the bound. Over whole small models in float32 and float64, autograd's sum and ours were
#: apart by at most 1.2 eps sqrt(n) sum |term| where all terms were in memory, and by 3.0 of that
#: where only the sums of rows were.
SAFETY: Final = 4.0


@torch.no_grad()
def summation_noise(uses: Sequence[Use], dtype: torch.dtype) -> Float[Tensor, " P"]:
    """Bound how far two sums of the same gradients may differ by rounding, elementwise.

    Costs as much as adding the gradients up once more.

    Args:
        uses: What was captured for one parameter tensor in a step; at least one.
        dtype: Format in which the gradients were accumulated.

    Returns:
        ``SAFETY * (sqrt(n) eps' + eps) * sum |weight * term|``, flattened, for n terms per element;
        eps is that of the coarser of ``dtype`` and the format of the terms, eps' that of the
        format in which sums are taken: float32 for the half formats, else the same.

    Source:
        Higham and Mary (2019), A new approach to probabilistic rounding error analysis: errors
        of sums of n terms grow with sqrt(n).
    """
    sizes = [use.form.magnitude(use.weights) for use in uses]
    terms = sum(use.form.num_terms for use in uses)
    eps = max(torch.finfo(dtype).eps, *(torch.finfo(size.dtype).eps for size in sizes))
    inner = min(eps, torch.finfo(torch.float32).eps)
    total = sizes[0].double()
    for size in sizes[1:]:
        total = total + size
    return total * (SAFETY * (math.sqrt(terms) * inner + eps))
