"""What a tensor carries from step to step: outstanding momentum and the decay inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gradledger.errors import UpdateError
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised

__all__ = ["Account"]


@dataclass(slots=True)
class Account:
    """Running accounts of one parameter tensor; ``measure`` advances them in place.

    Attributes:
        inventory: B m as valued at the last step, contiguous, shape of the parameter; None for 0.
        decay_momentum: The part of the momentum buffer that coupled decay put there, same shape;
            None until coupled decay meets momentum. Momentum that was there before recording
            began counts as history of gradients: what it was made of is not known.
    """

    inventory: Tensor | None = None
    decay_momentum: Tensor | None = None

    def prepare(self, realised: Realised, parameter: Tensor) -> None:
        """Create the accounts that a law needs, at zero, before it is measured."""
        dtype = precision_of(parameter.dtype).compute
        if realised.momentum_after is None:
            return
        if self.inventory is None and realised.inventory_factor:
            self.inventory = _zeros(parameter, dtype)
        if self.decay_momentum is None and realised.coupled_decay:
            self.decay_momentum = _zeros(parameter, dtype)

    @torch.no_grad()
    def advance(self, realised: Realised, theta_before: Tensor) -> None:
        """Carry the accounts over one step without measuring it (``measure`` does both)."""
        self.prepare(realised, theta_before)
        if self.inventory is not None:
            after = realised.momentum_after
            self.inventory.zero_()
            if after is not None and realised.inventory_factor:
                self.inventory.copy_(realised.mixed(after)).mul_(realised.inventory)
        if self.decay_momentum is not None:
            self.decay_momentum.mul_(realised.retain)
            if realised.coupled_decay:
                decay = theta_before.detach().to(self.decay_momentum.dtype)
                if realised.scaled_intake and realised.gradient_scale is not None:
                    decay = decay * realised.gradient_scale
                self.decay_momentum.add_(decay, alpha=realised.intake * realised.coupled_decay)

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the accounts by name, live: save or clone them before the next step."""
        pairs = {"inventory": self.inventory, "decay_momentum": self.decay_momentum}
        return {name: tensor for name, tensor in pairs.items() if tensor is not None}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], parameter: Tensor) -> Account:
        """Rebuild the accounts of a parameter from ``to_tensors``; copies what it is given.

        Raises:
            UpdateError: U106 for unknown names or other shapes.
        """
        names = ("inventory", "decay_momentum")
        for name, tensor in tensors.items():
            if name not in names or tensor.shape != parameter.shape:
                raise UpdateError(
                    "U106",
                    observed=f"{name} of shape {tuple(tensor.shape)}",
                    expected=f"{' or '.join(names)} of shape {tuple(parameter.shape)}",
                    hint="restore each parameter from its own accounts",
                )
        dtype = precision_of(parameter.dtype).compute
        kept = {
            name: _zeros(parameter, dtype).copy_(tensor.detach())
            for name, tensor in tensors.items()
        }
        return cls(**kept)


def _zeros(parameter: Tensor, dtype: torch.dtype) -> Tensor:
    # Always contiguous, so that flat views of it can be written in place.
    return torch.zeros(parameter.shape, dtype=dtype, device=parameter.device)
