"""Held form: gradients of all visits formed once, whose sum is handed to the optimizer.

Autograd forms the weight gradient of a linear layer as one product over all visits. Formed visit by
visit and then added up it takes the same work, and what was formed is the per-example gradient that
the books ask for. So where a run substitutes, a step has no further product; the price is memory
for one gradient per visit until the update is known, and a sum that is equal to rounding only.

Shape legend: R rows (visits), P elements of the parameter tensor.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from gradledger.gradient.converted import converted
from gradledger.gradient.dense import Dense
from gradledger.gradient.form import Form
from gradledger.gradient.outer_product import OuterProduct

#: Kinds whose weight gradient may be substituted: those for which it is a matrix product.
SUBSTITUTED: Final = frozenset({"linear", "transposed_linear", "conv", "conv_transpose"})
#: Gradients held in one step, at most; beyond it factors are kept and multiplied again.
HELD_BYTES: Final = 2 << 30
#: Elements formed at a time.
CHUNK_ELEMENTS: Final = 1 << 20


@dataclass(frozen=True)
class Held:
    """Gradients of all visits, with what was measured while they were in the cache.

    Attributes:
        values: One gradient per row, flattened; no row where nobody is going to measure them.
        squares: Squared norm of every row, one number each.
        summed: Sum over rows.
    """

    values: Float[Tensor, "R P"]
    squares: tuple[Float[Tensor, ""], ...]
    summed: Float[Tensor, " P"]

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
        """Return the weighted sum over rows; the sum that was handed on where all weigh 1."""
        return self.summed if weights is None else weights @ self.values

    @property
    def num_terms(self) -> int:
        """Rows: positions were added up before."""
        return self.num_rows

    def magnitude(self, weights: Float[Tensor, " R"] | None) -> Float[Tensor, " P"]:
        """Return the sum of the absolute values of what rows gave."""
        return Dense(self.values).magnitude(weights)


class Shelf:
    """Memory for held gradients, kept between steps: fresh pages cost more than the products.

    Args:
        keeps: Whether gradients are kept for measuring, or only added up. Their sums are the same
            bits either way.
    """

    def __init__(self, *, keeps: bool) -> None:
        self._keeps = keeps
        self._free: dict[tuple[int, int, torch.dtype, torch.device], list[Tensor]] = {}
        self._taken: list[Tensor] = []
        self._bytes = 0

    def hold(self, form: Form, dtype: torch.dtype) -> Form:
        """Form the gradients of all visits; the form as it is where they are finished or too large.

        Args:
            form: Gradients of one use of a parameter.
            dtype: Format of the parameter; half formats are added up in float32.
        """
        form = converted(form, torch.promote_types(dtype, torch.float32))
        if isinstance(form, Dense):
            return form
        num_rows, num_elements = form.num_rows, form.num_elements
        like = _floats(form)
        size = num_rows * num_elements * like.element_size()
        if self._bytes + size > HELD_BYTES:
            return form
        self._bytes += size
        at_once = max(1, min(num_rows, CHUNK_ELEMENTS // max(1, num_elements)))
        room = self._room(num_rows if self._keeps else at_once, num_elements, like)
        summed, ones = like.new_zeros(num_elements), like.new_ones(at_once)
        squares: list[Tensor] = []
        for start in range(0, num_rows, at_once):
            stop = min(num_rows, start + at_once)
            rows = room[start:stop] if self._keeps else room[: stop - start]
            _write(form, start, stop, rows)
            # In torch alone: a replay without a compiler is to find the same gradient.
            summed.addmv_(rows.T, ones[: stop - start])
            if self._keeps:
                squares += [torch.dot(row, row) for row in rows.unbind()]
        return Held(room if self._keeps else room[:0], tuple(squares), summed)

    def clear(self) -> None:
        """Take all memory back: the step is booked."""
        for room in self._taken:
            key = (*room.shape, room.dtype, room.device)
            self._free.setdefault(key, []).append(room)
        self._taken, self._bytes = [], 0

    def _room(self, num_rows: int, num_elements: int, like: Tensor) -> Tensor:
        free = self._free.get((num_rows, num_elements, like.dtype, like.device))
        room = free.pop() if free else like.new_empty(num_rows, num_elements)
        self._taken.append(room)
        return room


def _write(form: Form, start: int, stop: int, out: Float[Tensor, "b P"]) -> None:
    """Write rows ``start:stop`` of a form; a product goes there directly."""
    if isinstance(form, OuterProduct):
        form.write(start, stop, out)
    else:
        out.copy_(form.chunk(start, stop))


def _floats(form: Form) -> Tensor:
    """Return a tensor of the format and device of the gradients."""
    record: Any = form
    values = (getattr(record, field.name) for field in fields(record))
    return next(v for v in values if isinstance(v, Tensor) and v.is_floating_point())
