"""Loss scales of mixed precision: how large they are, and whether a step overflowed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, optim
from torch.amp.grad_scaler import GradScaler

__all__ = ["loss_scale", "overflowed"]


def overflowed(optimizer: optim.Optimizer) -> bool:
    """Tell whether a fused step leaves all parameters alone; true between its two hooks only."""
    flag: Tensor | None = getattr(optimizer, "found_inf", None)
    return flag is not None and bool(flag.item())


def loss_scale(optimizer: optim.Optimizer, tracked: Iterable[Any]) -> float:
    """Return the factor that the loss was multiplied by; 1 where none is known.

    A scaler that was handed to ``run.track`` says it; a fused step is handed it too. Where a scaler
    is known to nobody but the script, gradients are booked as autograd made them.

    Args:
        optimizer: The optimizer, about to step.
        tracked: Objects of the run.
    """
    for value in tracked:
        if isinstance(value, GradScaler) and value.is_enabled():
            return float(value.get_scale())
    handed: Tensor | None = getattr(optimizer, "grad_scale", None)
    return 1.0 if handed is None else float(handed.item())
