"""All parameters of a run as one flat vector, ordered by optimizer param group.

Shape legend: P elements of all parameters, K behaviours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim

from gradledger.recorder.groups import Grouping


@dataclass(frozen=True)
class Place:
    """Where one parameter lies in the flat vector.

    Attributes:
        name: Full name.
        parameter: The live tensor.
        start: First element.
        stop: One after the last.
        column: Number of its parameter group.
        param_group: Number of its optimizer param group.
    """

    name: str
    parameter: nn.Parameter
    start: int
    stop: int
    column: int
    param_group: int


class Layout:
    """Maps the parameters that an optimizer updates to places of one flat vector.

    Args:
        grouping: Parameter groups of the run.
        optimizer: The optimizer; parameters of one of its param groups lie side by side.

    Attributes:
        places: In the order of the flat vector.
        size: Number of elements P.
        num_groups: Parameter groups of the run.
    """

    def __init__(self, grouping: Grouping, optimizer: optim.Optimizer) -> None:
        held = {
            id(value): number
            for number, group in enumerate(optimizer.param_groups)
            for value in group["params"]
        }
        found = [
            (held[id(value)], column, name, value)
            for column, group in enumerate(grouping.groups)
            for name, value in group.parameters.items()
        ]
        self.num_groups = len(grouping.groups)
        self.places: list[Place] = []
        position = 0
        for number, column, name, value in sorted(found, key=lambda entry: entry[:2]):
            stop = position + value.numel()
            self.places.append(Place(name, value, position, stop, column, number))
            position = stop
        self.size = position
        self.of: dict[int, Place] = {id(place.parameter): place for place in self.places}

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The live tensors, in order."""
        return [place.parameter for place in self.places]

    def gather(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return one tensor per place as a flat copy, shape (P,)."""
        return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])

    def read(self) -> Tensor:
        """Return the live parameters, shape (P,)."""
        return self.gather(self.parameters)

    @torch.no_grad()
    def write(self, flat: Tensor) -> None:
        """Set the live parameters."""
        live: list[Tensor] = list(self.parameters)
        torch._foreach_copy_(live, self.split(flat))

    def split(self, flat: Tensor) -> list[Tensor]:
        """Return views of a flat vector in the shapes of the parameters."""
        return [flat[place.start : place.stop].view_as(place.parameter) for place in self.places]

    def by_name(self, flat: Tensor) -> Mapping[str, Tensor]:
        """Return the same views by full name."""
        parts = self.split(flat)
        return {place.name: part for place, part in zip(self.places, parts, strict=True)}
