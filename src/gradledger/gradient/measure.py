"""Measure per-example gradients: inner products, norms and their sum, in few passes over memory.

The gradient of a visit exists only while it is measured: rows are formed a few at a time so that
they stay in the processor's cache, whatever the size of the batch.

Shape legend: R rows (visits), P elements of the parameter tensor, K directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from gradledger.gradient.converted import converted
from gradledger.gradient.form import Form
from gradledger.gradient.row_sparse import RowSparse

#: Elements formed at a time: 4 MiB of float32; larger and smaller chunks measured slower or equal.
CHUNK_ELEMENTS: Final = 1 << 20


@dataclass(frozen=True)
class Measured:
    """What is known of the rows of one parameter tensor; unweighted.

    Attributes:
        dots: Inner product of each row's gradient with each direction, float64.
        squared_norms: Squared Euclidean norm of each row's gradient, float64.
        scaled_squared_norms: The same after multiplication by ``scale``, float64.
        total: Sum over rows of weight times gradient, in the dtype of the directions.
    """

    dots: Float[Tensor, "K R"]
    squared_norms: Float[Tensor, " R"]
    scaled_squared_norms: Float[Tensor, " R"]
    total: Float[Tensor, " P"]


def measure(
    forms: Sequence[Form],
    weights: Float[Tensor, " R"],
    directions: Float[Tensor, "K P"],
    scale: Float[Tensor, " P"] | float,
    transform: Callable[[Float[Tensor, "b P"]], Float[Tensor, "b P"]] | None = None,
) -> Measured:
    """Measure the rows of one parameter tensor.

    Args:
        forms: The uses of the tensor in one micro-batch, with equal rows; contributions of all
            uses add (tied weights, a module that is called twice). Those in another number format
            than the directions (autocast, half precision) are converted first.
        weights: Depth weight of each row; enters ``total`` only.
        directions: Vectors to take inner products with.
        scale: Elementwise factor for ``scaled_squared_norms`` (the update rate A).
        transform: Linear map that rows go through before ``scale``; None for the identity.

    Returns:
        The measures, rows in the order of the forms.
    """
    forms = [converted(form, directions.dtype) for form in forms]
    if len(forms) == 1 and isinstance(forms[0], RowSparse) and transform is None:
        return _measure_row_sparse(forms[0], weights, directions, scale)
    num_rows, num_elements = forms[0].num_rows, forms[0].num_elements
    rows_per_chunk = max(1, CHUNK_ELEMENTS // max(1, num_elements))
    scale_squared = scale.square() if isinstance(scale, Tensor) else None
    size = (directions.shape[0], num_rows)
    dots = directions.new_empty(size, dtype=torch.float64)
    squared = directions.new_empty(num_rows, dtype=torch.float64)
    scaled = torch.empty_like(squared)
    total = torch.zeros_like(directions[0])
    for start in range(0, num_rows, rows_per_chunk):
        stop = min(num_rows, start + rows_per_chunk)
        rows = forms[0].chunk(start, stop)
        for form in forms[1:]:
            rows += form.chunk(start, stop)
        total.addmv_(rows.T, weights[start:stop])
        dots[:, start:stop] = directions @ rows.T
        seen = None if transform is None else transform(rows).square_()
        # Not square_(): that goes through pow and took five times as long.
        torch.mul(rows, rows, out=rows)
        squared[start:stop] = rows.sum(1)
        if scale_squared is not None:
            scaled[start:stop] = (rows if seen is None else seen) @ scale_squared
        elif seen is not None:
            scaled[start:stop] = seen.sum(1)
    if not isinstance(scale, Tensor):
        scaled = (squared if transform is None else scaled) * float(scale) ** 2
    return Measured(dots, squared, scaled, total)


def _measure_row_sparse(
    form: RowSparse, weights: Tensor, directions: Tensor, scale: Tensor | float
) -> Measured:
    """Work on touched table rows only: the table may be large, a visit touches little of it."""
    visits, touched = form.visits, form.table_rows
    zeros = torch.zeros(form.rows, dtype=torch.float64, device=form.values.device)
    dots = torch.stack(
        [
            zeros.index_add(
                0, visits, (direction.view(form.table)[touched] * form.values).sum(1).double()
            )
            for direction in directions
        ]
    )
    squares = form.values.square()
    squared = zeros.index_add(0, visits, squares.sum(1).double())
    if isinstance(scale, Tensor):
        factor = scale.view(form.table)[touched].square()
        scaled = zeros.index_add(0, visits, (squares * factor).sum(1).double())
    else:
        scaled = squared * float(scale) ** 2
    return Measured(dots, squared, scaled, form.total(weights))
