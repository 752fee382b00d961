"""Row-sparse form: gradients that touch few rows of a table (embeddings).

Duplicates within one visit are added first, so that norms are exact.

Shape legend: R rows (visits), N touched (visit, table row) pairs, V table rows, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class RowSparse:
    """Touched table rows of every visit.

    Attributes:
        visits: Which row (visit) each pair belongs to, ascending.
        table_rows: Which row of the table it touches.
        values: Its gradient.
        rows: Number of rows R.
        table: Shape (V, D) of the parameter.
    """

    visits: Int[Tensor, " N"]
    table_rows: Int[Tensor, " N"]
    values: Float[Tensor, "N D"]
    rows: int
    table: tuple[int, int]

    @classmethod
    def from_tokens(
        cls,
        tokens: Int[Tensor, "R T"],
        output_grads: Float[Tensor, "R T D"],
        table: tuple[int, int],
        padding_index: int | None = None,
    ) -> RowSparse:
        """Add up the positions of each (visit, token) pair.

        Args:
            tokens: Table rows that were read.
            output_grads: Gradient with respect to what was read.
            table: Shape of the table.
            padding_index: Table row that receives no gradient.
        """
        rows, positions = tokens.shape
        visit = torch.arange(rows, device=tokens.device).repeat_interleave(positions)
        flat, grads = tokens.reshape(-1), output_grads.reshape(-1, table[1])
        if padding_index is not None:
            kept = flat != padding_index
            visit, flat, grads = visit[kept], flat[kept], grads[kept]
        key, place = torch.unique(visit * table[0] + flat, return_inverse=True)
        values = grads.new_zeros(key.shape[0], table[1]).index_add_(0, place, grads)
        return cls(key // table[0], key % table[0], values, rows, table)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.rows

    @property
    def num_elements(self) -> int:
        """Elements of the table."""
        return self.table[0] * self.table[1]

    def chunk(self, start: int, stop: int) -> Float[Tensor, "b P"]:
        """Return rows ``start:stop`` as dense tables, flattened."""
        dense = self.values.new_zeros(stop - start, *self.table)
        inside = (self.visits >= start) & (self.visits < stop)
        dense[self.visits[inside] - start, self.table_rows[inside]] = self.values[inside]
        return dense.flatten(1)

    def total(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the weighted sum over rows, flattened."""
        values = self.values
        if weights is not None:
            values = values * weights[self.visits].unsqueeze(1)
        dense = self.values.new_zeros(self.table)
        return dense.index_add_(0, self.table_rows, values).flatten()

    @property
    def num_terms(self) -> int:
        """Rows: positions that touch the same table row were added up before."""
        return self.rows

    def magnitude(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the sum of the absolute values of what rows gave."""
        sizes = replace(self, values=self.values.abs())
        return sizes.total(None if weights is None else weights.abs())
