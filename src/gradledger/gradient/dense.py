"""Dense form: one finished gradient vector per row, for small parameter tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Dense:
    """Gradients that are already summed over positions.

    Attributes:
        values: One gradient per row, flattened; same dtype as the parameter.
        terms: What was added up over positions, where that is still in memory: tensors (R, T, p)
            whose elements p lie one behind the other in the parameter. Sums of such terms may
            cancel, and only the terms tell how much rounding is in what is left.
    """

    values: Float[Tensor, "R P"]
    terms: tuple[Float[Tensor, "R T p"], ...] = ()

    @classmethod
    def summed(cls, *terms: Float[Tensor, "R T p"]) -> Dense:
        """Add up terms over positions, and remember them."""
        sums = [part.sum(1) for part in terms]
        return cls(sums[0] if len(sums) == 1 else torch.cat(sums, 1), terms)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.values.shape[0]

    @property
    def num_elements(self) -> int:
        """Elements of the parameter tensor."""
        return self.values.shape[1]

    def chunk(self, start: int, stop: int) -> Float[Tensor, "b P"]:
        """Return rows ``start:stop``; a copy, because callers work in place."""
        return self.values[start:stop].clone()

    def total(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the weighted sum over rows."""
        return self.values.sum(0) if weights is None else weights @ self.values

    @property
    def num_terms(self) -> int:
        """Rows and positions; rows alone where positions are not in memory."""
        return max((part.shape[0] * part.shape[1] for part in self.terms), default=self.num_rows)

    def magnitude(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the sum of the absolute values of all terms."""
        parts = self.terms or (self.values.unsqueeze(1),)
        sizes = torch.cat([part.abs().sum(1) for part in parts], 1)
        return sizes.sum(0) if weights is None else weights.abs() @ sizes
