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
from gradledger.gradient.held import Held
from gradledger.gradient.row_pass import measure_rows
from gradledger.gradient.row_sparse import RowSparse

#: Elements formed at a time: 4 MiB of float32; larger and smaller chunks measured slower or equal.
CHUNK_ELEMENTS: Final = 1 << 20


@dataclass(frozen=True)
class Measured:
    """What is known of the rows of one parameter tensor; unweighted.

    Attributes:
        dots: Inner product of each row's gradient with each direction, float64.
        squared_norms: Squared Euclidean norm of each row's gradient, float64.
        scaled_squared_norms: The same after multiplication by ``scale``, float64; None where that
            takes a pass of its own and was not asked for.
        total: Sum over rows of weight times gradient, in the dtype of the directions.
    """

    dots: Float[Tensor, "K R"]
    squared_norms: Float[Tensor, " R"]
    scaled_squared_norms: Float[Tensor, " R"] | None
    total: Float[Tensor, " P"]


def measure(
    forms: Sequence[Form],
    weights: Float[Tensor, " R"] | None,
    directions: Float[Tensor, "K P"],
    scale: Float[Tensor, " P"] | float,
    transform: Callable[[Float[Tensor, "b P"]], Float[Tensor, "b P"]] | None = None,
    *,
    scaled: bool = True,
) -> Measured:
    """Measure the rows of one parameter tensor.

    Args:
        forms: The uses of the tensor in one micro-batch, with equal rows; contributions of all
            uses add (tied weights, a module that is called twice). Those in another number format
            than the directions (autocast, half precision) are converted first.
        weights: Depth weight of each row, None where all are 1; enters ``total`` only.
        directions: Vectors to take inner products with.
        scale: Elementwise factor for ``scaled_squared_norms`` (the update rate A).
        transform: Linear map that rows go through before ``scale``; None for the identity.
        scaled: Whether ``scaled_squared_norms`` are wanted; where ``scale`` is a number and there
            is no map they cost nothing and are always given.

    Returns:
        The measures, rows in the order of the forms.
    """
    forms = [converted(form, directions.dtype) for form in forms]
    if len(forms) == 1 and isinstance(forms[0], RowSparse) and transform is None:
        return _measure_row_sparse(forms[0], weights, directions, scale)
    free = transform is None and not isinstance(scale, Tensor)
    if len(forms) == 1 and isinstance(forms[0], Held) and (free or not scaled):
        return _measure_held(forms[0], weights, directions, scale)
    num_rows, num_elements = forms[0].num_rows, forms[0].num_elements
    if weights is None:
        weights = directions.new_ones(num_rows)
    rows_per_chunk = max(1, CHUNK_ELEMENTS // max(1, num_elements))
    free = transform is None and not isinstance(scale, Tensor)
    factor = _Factor(scale, transform) if scaled and not free else None
    dots = directions.new_empty((len(directions), num_rows), dtype=torch.float64)
    squared = directions.new_empty(num_rows, dtype=torch.float64)
    lengths = None if factor is None else torch.empty_like(squared)
    total = torch.zeros_like(directions[0])
    for start in range(0, num_rows, rows_per_chunk):
        stop = min(num_rows, start + rows_per_chunk)
        rows = forms[0].chunk(start, stop)
        for form in forms[1:]:
            rows += form.chunk(start, stop)
        if factor is not None and lengths is not None:
            lengths[start:stop] = factor.squares(rows)
        dots[:, start:stop], squared[start:stop] = measure_rows(
            rows, directions, weights[start:stop], total
        )
    if transform is None and not isinstance(scale, Tensor):
        lengths = squared * float(scale) ** 2
    return Measured(dots, squared, lengths, total)


def _measure_held(
    form: Held, weights: Tensor | None, directions: Tensor, scale: Tensor | float
) -> Measured:
    """Take what was measured already; only the directions were not known then."""
    if directions.device.type == "cpu":
        each = [torch.dot(row, way) for way in directions for row in form.values]
        dots = torch.stack(each).view(len(directions), -1)
    else:
        dots = directions @ form.values.T
    squared = torch.stack(form.squares).double()
    lengths = None if isinstance(scale, Tensor) else squared * float(scale) ** 2
    return Measured(dots.double(), squared, lengths, form.total(weights))


@dataclass(frozen=True)
class _Factor:
    """What rows are multiplied with before their scaled norms are taken."""

    scale: Tensor | float
    transform: Callable[[Tensor], Tensor] | None

    def squares(self, rows: Float[Tensor, "b P"]) -> Float[Tensor, " b"]:
        """Return the squared norm of every row after the map and the factor."""
        seen = rows if self.transform is None else self.transform(rows)
        seen = torch.mul(seen, self.scale)
        # Not square_(): that goes through pow and took five times as long.
        return torch.mul(seen, seen, out=seen).sum(1)


def _measure_row_sparse(
    form: RowSparse, weights: Tensor | None, directions: Tensor, scale: Tensor | float
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
