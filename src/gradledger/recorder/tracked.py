"""What is remembered of one parameter tensor around a step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gradledger.update import Account, Before


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
