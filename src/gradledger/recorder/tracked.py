"""What is remembered of one parameter tensor around a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim

from gradledger.update import Account, Before, Family


@dataclass
class Tracked:
    """One parameter tensor with everything that is remembered of it around a step.

    Attributes:
        parameter: The tensor.
        name: Its full name.
        captured: Whether its per-example gradients are measured.
        theta_before: Copy from before the step.
        raw: Copy of the gradient that autograd accumulated, before clipping.
        before: What the optimizer family copied; None where the optimizer skips the tensor.
        account: Inventory and decay accounts.
        has_raw: Whether ``raw`` was copied in this step.
    """

    parameter: nn.Parameter
    name: str
    captured: bool
    theta_before: Tensor
    raw: Tensor
    account: Account
    before: Before | None = None
    has_raw: bool = False


def param_groups_of(optimizer: optim.Optimizer) -> dict[int, dict[str, Any]]:
    """Return the optimizer param group of every tensor, by ``id``; loading a state renews them."""
    return {
        id(value): param_group
        for param_group in optimizer.param_groups
        for value in param_group["params"]
    }


def track(
    optimizer: optim.Optimizer, family: Family, name: str, value: nn.Parameter, *, captured: bool
) -> Tracked:
    """Open the books of one tensor, with momentum that the optimizer already carries."""
    settings = param_groups_of(optimizer).get(id(value))
    return Tracked(
        parameter=value,
        name=name,
        captured=captured,
        theta_before=torch.empty_like(value),
        raw=torch.zeros_like(value, memory_format=torch.contiguous_format),
        account=Account() if settings is None else family.open_account(optimizer, value, settings),
    )
