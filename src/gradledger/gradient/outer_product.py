"""Outer-product form: sum over positions of output gradient times input (linear layers).

The gradient of row r is ``sum_t b[r, t] a[r, t]^T``, an O x I matrix. Only the factors are kept.

Shape legend: R rows, T positions, I input width, O output width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class OuterProduct:
    """Factors of the weight gradient of a linear map.

    Attributes:
        inputs: What the layer read.
        output_grads: Gradient of the batch loss with respect to what the layer wrote.
        transposed: Whether the weight is stored I x O (as ``transformers``' Conv1D does).
    """

    inputs: Float[Tensor, "R T I"]
    output_grads: Float[Tensor, "R T O"]
    transposed: bool = False

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.inputs.shape[0]

    @property
    def num_elements(self) -> int:
        """Elements of the weight."""
        return self.inputs.shape[2] * self.output_grads.shape[2]

    def _factors(self) -> tuple[Tensor, Tensor]:
        if self.transposed:
            return self.inputs, self.output_grads
        return self.output_grads, self.inputs

    def chunk(self, start: int, stop: int) -> Float[Tensor, "b P"]:
        """Return rows ``start:stop`` as dense weight gradients."""
        left, right = self._factors()
        if stop - start == 1:
            return torch.mm(left[start].T, right[start]).view(1, -1)
        return torch.bmm(left[start:stop].mT, right[start:stop]).flatten(1)

    def write(self, start: int, stop: int, out: Float[Tensor, "b P"]) -> None:
        """Write rows ``start:stop`` into memory that is there."""
        left, right = self._factors()
        shape = (stop - start, left.shape[2], right.shape[2])
        torch.bmm(left[start:stop].mT, right[start:stop], out=out.view(shape))

    def total(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the weighted sum over rows as one matrix product."""
        left, right = self._factors()
        if weights is not None:
            # Weigh the narrower factor: less memory, same product.
            if left.shape[2] <= right.shape[2]:
                left = left * weights.view(-1, 1, 1)
            else:
                right = right * weights.view(-1, 1, 1)
        return torch.mm(left.flatten(0, 1).T, right.flatten(0, 1)).flatten()

    @property
    def num_terms(self) -> int:
        """Rows and positions."""
        return self.inputs.shape[0] * self.inputs.shape[1]

    def magnitude(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the sum of the absolute values of all products."""
        sizes = replace(self, inputs=self.inputs.abs(), output_grads=self.output_grads.abs())
        return sizes.total(None if weights is None else weights.abs())
