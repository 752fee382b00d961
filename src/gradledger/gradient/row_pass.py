"""One pass over rows that are in memory: inner products, squares, and their weighted sum.

Shape legend: b rows, P elements, K directions.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from gradledger.native import compiled_passes

#: Elements from which on rows are measured one by one: two dot products then take half the time of
#: one matrix product with few columns, and a third of squaring and adding up.
LONG_ROW: Final = 1 << 14
#: Directions from which on a matrix product is ahead all the same.
MANY_DIRECTIONS: Final = 4

_FORMATS: Final = (torch.float32, torch.float64)


def measure_rows(
    rows: Float[Tensor, "b P"],
    directions: Float[Tensor, "K P"],
    weights: Float[Tensor, " b"],
    total: Float[Tensor, " P"],
) -> tuple[Float[Tensor, "K b"], Float[Tensor, " b"]]:
    """Return inner products and squared norms of rows, and add the rows to a sum.

    Args:
        rows: What is measured; overwritten where that is faster.
        directions: Vectors to take inner products with; may be none.
        weights: Factor of each row in the sum.
        total: The sum so far; added to in place.
    """
    num_directions, length = directions.shape
    if rows.device.type != "cpu" or length < LONG_ROW or num_directions >= MANY_DIRECTIONS:
        total.addmv_(rows.T, weights)
        dots = directions @ rows.T
        return dots, torch.mul(rows, rows, out=rows).sum(1)
    if num_directions <= 1 and (found := _compiled(rows, directions, weights, total)) is not None:
        return found
    total.addmv_(rows.T, weights)
    each = rows.unbind()
    squares = torch.stack([torch.dot(row, row) for row in each])
    if not num_directions:
        return rows.new_empty(0, len(each)), squares
    dots = torch.stack([torch.dot(row, way) for way in directions for row in each])
    return dots.view(num_directions, len(each)), squares


def _compiled(
    rows: Tensor, directions: Tensor, weights: Tensor, total: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Do the same in the compiled pass; None where there is none or it does not fit."""
    tensors = (rows, directions, weights, total)
    dtype = rows.dtype
    fit = dtype in _FORMATS and all(
        value.dtype is dtype and value.is_contiguous() for value in tensors
    )
    passes = compiled_passes() if fit else None
    if passes is None:
        return None
    way = directions if len(directions) else rows[:1]  # Some vector: its products are not used.
    dots, squares = passes.measure_rows(
        rows.data_ptr(),
        rows.shape[0],
        rows.shape[1],
        (way.data_ptr(), weights.data_ptr(), total.data_ptr()),
        double=dtype is torch.float64,
        num_threads=torch.get_num_threads(),
    )
    doubles = torch.tensor([dots, squares], dtype=torch.float64)
    return doubles[: len(directions)], doubles[1]
