"""Forms: how the per-example gradients of one parameter tensor are held until they are measured.

A form knows its rows (one per visit) and can produce the gradient of any run of rows as dense
vectors. What is kept is what is small: factors for linear layers, touched rows for embeddings,
finished sums for biases and normalisation scales.

Shape legend: R rows (visits), P elements of the parameter tensor, b rows of one chunk.
"""

from __future__ import annotations

from typing import Protocol

from jaxtyping import Float
from torch import Tensor


class Form(Protocol):
    """Per-example gradients of one parameter tensor for the rows of one use of a module."""

    @property
    def num_rows(self) -> int:
        """Number of rows R."""

    @property
    def num_elements(self) -> int:
        """Elements P of the parameter tensor."""

    def chunk(self, start: int, stop: int) -> Float[Tensor, "b P"]:
        """Return the gradients of rows ``start:stop`` as dense vectors, freshly allocated."""

    def total(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the sum over rows, each times its weight (1 where ``weights`` is None)."""

    @property
    def num_terms(self) -> int:
        """Most terms that were added up into one element of the sum over rows."""

    def magnitude(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the same sum with the absolute value of every term: what rounding scales with.

        As expensive as ``total``; asked for only where a sum is suspected to be rounding noise.
        """
