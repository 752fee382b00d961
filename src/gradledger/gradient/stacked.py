"""Stacked form: a parameter whose leading rows belong to several linear maps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gradledger.gradient.form import Form


@dataclass(frozen=True)
class Stacked:
    """Gradients of parts that lie one behind the other in the flattened parameter.

    Attributes:
        parts: Forms with equal rows, in the order of their place in the parameter.
    """

    parts: tuple[Form, ...]

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.parts[0].num_rows

    @property
    def num_elements(self) -> int:
        """Elements of the parameter tensor."""
        return sum(part.num_elements for part in self.parts)

    def chunk(self, start: int, stop: int) -> Float[Tensor, "b P"]:
        """Return the gradients of rows ``start:stop``."""
        return torch.cat([part.chunk(start, stop) for part in self.parts], 1)

    def total(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the weighted sum over rows."""
        return torch.cat([part.total(weights) for part in self.parts])

    @property
    def num_terms(self) -> int:
        """Most terms of any part."""
        return max(part.num_terms for part in self.parts)

    def magnitude(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the sums of absolute values, part by part."""
        return torch.cat([part.magnitude(weights) for part in self.parts])
