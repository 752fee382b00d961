"""Measures of the visits of one step on one parameter tensor.

Shape legend: V visits of the step over all micro-batches, K directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradledger.gradient import Measured, Use, measure
from gradledger.recorder.tracked import Tracked
from gradledger.update import Realised, precision_of


@dataclass(frozen=True)
class TensorVisits:
    """Measures of the visits on one tensor, depth weights included.

    Attributes:
        dots: Inner product of the booked gradient with each direction, K x V.
        squared: Squared norm of the booked gradient, V.
        scaled: Squared norm times the squared update rate, V; None where it was not asked for and
            takes a pass of its own.
        total: Sum of the booked gradients, shape of the tensor, in the format of the lines.
    """

    dots: NDArray[np.float64]
    squared: NDArray[np.float64]
    scaled: NDArray[np.float64] | None
    total: Tensor


def measure_visits(
    uses: Sequence[Use],
    entry: Tracked,
    sizes: Sequence[int],
    realised: Realised,
    *directions: Tensor,
    scaled: bool = False,
) -> TensorVisits:
    """Measure every visit's booked gradient on one tensor.

    Rows that depth weights dropped stay exact zeros.

    Args:
        uses: What was captured for the tensor in this step.
        entry: The tensor.
        sizes: Visits of each micro-batch.
        realised: The realised law of the step.
        directions: Vectors of the tensor's shape to take inner products with.
        scaled: Whether norms under the update rate are wanted even at the price of a pass.
    """
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    flat = [direction.reshape(1, -1) for direction in directions]
    compute = precision_of(entry.raw.dtype).compute
    stacked = (flat[0] if len(flat) == 1 else torch.cat(flat)).to(compute)
    factor, scale = realised.incurred_factor, realised.gradient_scale
    transform = None if realised.mixing is None else partial(_mixed, realised, entry.raw.shape)
    dots = np.zeros((len(directions), offsets[-1]))
    squared, lengths = np.zeros(offsets[-1]), np.zeros(offsets[-1])
    complete = True
    total: Tensor | None = None
    by_micro_batch: dict[int, list[Use]] = {}
    for use in uses:
        by_micro_batch.setdefault(use.micro_batch, []).append(use)
    for number, together in by_micro_batch.items():
        rows, forms = together[0].rows, [use.form for use in together]
        weights = together[0].weights
        if weights is not None:
            weights = weights.to(compute)
        rate = 1.0 if scale is None else scale.reshape(-1)
        measured = measure(forms, weights, stacked, rate, transform, scaled=scaled)
        places = (
            np.arange(offsets[number], offsets[number + 1])
            if rows is None
            else offsets[number] + rows.cpu().numpy()
        )
        complete &= measured.scaled_squared_norms is not None
        _scatter(measured, weights, places, dots, squared, lengths)
        total = measured.total if total is None else total + measured.total
    if total is None:
        total = torch.zeros(entry.raw.numel(), dtype=compute, device=entry.raw.device)
    norms = lengths * factor**2 if complete else None
    return TensorVisits(dots, squared, norms, total.view_as(entry.raw))


def _mixed(realised: Realised, shape: torch.Size, rows: Tensor) -> Tensor:
    """Send flat gradients through the matrix of the law."""
    return realised.mixed(rows.view(-1, *shape)).flatten(1)


def _scatter(
    measured: Measured,
    weights: Tensor | None,
    places: NDArray[np.int64],
    dots: NDArray[np.float64],
    squared: NDArray[np.float64],
    scaled: NDArray[np.float64],
) -> None:
    """Put measured rows at their visits, times their depth weights."""
    depth = 1.0 if weights is None else weights.double().cpu().numpy()
    dots[:, places] = measured.dots.cpu().numpy() * depth
    squared[places] = measured.squared_norms.cpu().numpy() * depth**2
    if measured.scaled_squared_norms is not None:
        scaled[places] = measured.scaled_squared_norms.cpu().numpy() * depth**2
