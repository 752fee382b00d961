"""Modules that couple the rows of a batch.

Where rows are coupled, contributions still add up, but "caused by this visit alone" does not hold:
the record is marked, and depth profiles other than full are refused.
"""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def coupled_modules(model: nn.Module, *, training_only: bool = True) -> list[str]:
    """Name the modules whose output for one row depends on other rows.

    Args:
        model: The model.
        training_only: Leave out modules that couple rows only in training mode and are not in it.
    """
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        and (module.training or not module.track_running_stats or not training_only)
    ]
