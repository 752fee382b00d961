"""A matrix between gradient and change, for optimizers that work on whole matrices."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Mixing"]


@dataclass(frozen=True, slots=True)
class Mixing:
    """Multiplication of a matrix parameter's gradient by a square matrix.

    Attributes:
        factor: (O, O) on the left, or (I, I) on the right.
        right: On which side it stands.
    """

    factor: Tensor
    right: bool

    def apply(self, tensor: Tensor) -> Tensor:
        """Multiply (..., O, I)."""
        tensor = tensor.to(self.factor.dtype)
        return tensor @ self.factor if self.right else self.factor @ tensor

    def transposed(self, tensor: Tensor) -> Tensor:
        """Multiply by the transposed matrix: inner products move to the other side."""
        return Mixing(self.factor.mT, self.right).apply(tensor)

    def absolute(self) -> Mixing:
        """Return the matrix of absolute values, for bounds."""
        return Mixing(self.factor.abs(), self.right)
