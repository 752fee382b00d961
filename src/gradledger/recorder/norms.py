"""Norms of many tensors at once: one call for all of them instead of one call each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def tensor_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm of every tensor, in order.

    Args:
        tensors: At least one; all on one device.
    """
    norms = torch._foreach_norm(list(tensors))  # noqa: SLF001 - torch has no public name for it
    return torch.stack(norms)
