"""Dense form: one finished gradient vector per row, for small parameter tensors."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Dense:
    """Gradients that are already summed over positions.

    Attributes:
        values: One gradient per row, flattened; same dtype as the parameter.
    """

    values: Float[Tensor, "R P"]

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
