"""Row identity: the first axis of what a module reads and writes must count the visits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from gradledger.errors import GradientError


def split_rows(values: Tensor, num_rows: int, where: str) -> Tensor:
    """Reshape ``(R * k, ...)`` or ``(R, ...)`` to ``(R, positions, width)``.

    Modules may see rows and positions flattened into one axis; they are split again in
    row-major order. A 2-D input gets one position.

    Raises:
        GradientError: The first axis is not a multiple of the number of rows. Code G101.
    """
    if values.dim() == 0 or num_rows == 0 or values.shape[0] % num_rows:
        raise GradientError(
            "G101",
            observed=f"a tensor of shape {tuple(values.shape)}",
            expected=f"a first axis that counts {num_rows} visits",
            where=where,
            hint=_hint(values, num_rows),
        )
    return values.reshape(num_rows, -1, values.shape[-1])


def split_images(values: Tensor, num_rows: int, num_axes: int, where: str) -> Tensor:
    """Check a tensor of images ``(R, C, ...)`` or ``(R * k, C, ...)`` and return it.

    Args:
        values: The images.
        num_rows: Number of rows R.
        num_axes: Axes behind the channel axis.
        where: The module, for messages.

    Raises:
        GradientError: No row axis, or not a multiple of the number of rows. Code G101.
    """
    if values.dim() == num_axes + 1 and num_rows == 1:
        return values.unsqueeze(0)
    if values.dim() != num_axes + 2 or num_rows == 0 or values.shape[0] % num_rows:
        raise GradientError(
            "G101",
            observed=f"a tensor of shape {tuple(values.shape)}",
            expected=f"a first axis that counts {num_rows} visits, before the channels",
            where=where,
            hint="keep the batch as the first axis, or name the module in unattributed=[...]",
        )
    return values


def has_rows(value: Any, num_rows: int) -> bool:
    """Tell whether a value is a tensor whose first axis counts the rows."""
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == num_rows


def stands_for_all_rows(inputs: Any, outputs: list[Tensor], num_rows: int) -> bool:
    """Tell whether one row was read and written on behalf of all, to be broadcast later.

    Position tables are used that way: the gradient that comes back is summed over the visits, so
    the output must be given one row per visit before that happens. What came out of a layer that
    learns is never such a row: it would be one visit of a loop over visits.
    """
    read = [leaf for leaf in tree_flatten(inputs)[0] if isinstance(leaf, Tensor) and leaf.dim()]
    alone = all(leaf.shape[0] == 1 and not leaf.requires_grad for leaf in read)
    return num_rows > 1 and alone and all(out.dim() > 1 and out.shape[0] == 1 for out in outputs)


def spread_over_rows(values: Any, num_rows: int) -> Any:
    """Give the single row of every tensor to each of the visits, without a copy."""
    return tree_map(
        lambda leaf: (
            leaf.expand(num_rows, *leaf.shape[1:])
            if isinstance(leaf, Tensor) and leaf.dim()
            else leaf
        ),
        values,
    )


def select_rows(value: Any, rows: Tensor | None, num_rows: int) -> Any:
    """Restrict tensors that count the rows to the selected ones; leave all else alone.

    A tensor whose first axis is a multiple of the rows (rows and positions flattened) is
    selected in whole runs of positions.
    """
    if rows is None:
        return value
    if isinstance(value, Tensor) and value.dim() > 0 and value.shape[0]:
        if value.shape[0] == num_rows:
            return value.index_select(0, rows)
        if value.shape[0] % num_rows == 0:
            split = value.reshape(num_rows, -1, *value.shape[1:])
            return split.index_select(0, rows).flatten(0, 1)
    if isinstance(value, tuple | list):
        return type(value)(select_rows(item, rows, num_rows) for item in value)
    if isinstance(value, Mapping):
        return {key: select_rows(item, rows, num_rows) for key, item in value.items()}
    return value


def _hint(values: Tensor, num_rows: int) -> str:
    if num_rows in values.shape[1:-1]:
        return "the batch seems to be another axis: make it the first one (batch_first=True)"
    return "name the module in unattributed=[...] if it mixes or drops rows"
