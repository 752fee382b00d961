"""The recurrence of the adjoint through a stretch, from its last step to its first.

With theta the parameters, m the momentum and h = s g + lambda theta the effective gradient, every
step was affine, second moments taken as they were:

    theta' = (1 - omega) theta + C h + H m          m' = retain m + intake h

so that adjoints Q of theta and F of m go back by

    e = C Q + intake F      F <- H Q + retain F      Q <- (1 - omega) Q + lambda e

from Q = q, F = 0 after the interval. What a gradient gamma of a step did along q is
s kappa <e, gamma>: spent by the momentum of later steps and shrunk by their decay.

Source: reverse accumulation through the frozen recurrence; exact for it, in any optimizer that acts
element by element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradledger.replay.frozen.laws import (
    CARRIED_SCALES,
    GRADIENT_SCALES,
    Law,
    read_opening,
    read_row,
)
from gradledger.replay.frozen.layout import Flat
from gradledger.replay.recorded import RecordedRun, load_weights

#: Rows of e: one per step and active interval.
ENTRIES: Final = "entries.bin"

Interval = tuple[int, int]


@dataclass
class Adjoint:
    """Adjoints of one interval at one step, flat and in float64.

    Attributes:
        theta: Q.
        momentum: F.
    """

    theta: Tensor
    momentum: Tensor


def displacement(run: RecordedRun, interval: Interval, flat: Flat) -> Tensor:
    """Return how far an interval moved every element."""
    first, last = (load_weights(run.state_dir(step) / "model.safetensors") for step in interval)
    return flat.vector(last) - flat.vector(first)


def sweep_back(
    folder: Path,
    flat: Flat,
    laws: Mapping[int, Sequence[Law | None]],
    span: Interval,
    adjoints: Sequence[Adjoint],
) -> None:
    """Take adjoints from the end of a stretch to its start; keep e of every step.

    Args:
        folder: Of the stretch, with the noted laws; e goes there.
        flat: Where elements lie.
        laws: By step, one per tensor; none where no update happened.
        span: The stretch.
        adjoints: One per active interval, as after the stretch; changed in place.
    """
    start, stop = span
    size = flat.num_elements * flat.dtype.itemsize
    with (folder / ENTRIES).open("w+b") as file:
        for step in range(stop, start, -1):
            scales = [
                read_row(folder, name, step - start - 1, flat) if (folder / name).exists() else None
                for name in (GRADIENT_SCALES, CARRIED_SCALES)
            ]
            for place, adjoint in enumerate(adjoints):
                row = _step_back(flat, laws[step], scales, adjoint)
                file.seek(((step - start - 1) * len(adjoints) + place) * size)
                file.write(row.astype(flat.dtype).tobytes())


def _step_back(
    flat: Flat, laws: Sequence[Law | None], scales: Sequence[Tensor | None], adjoint: Adjoint
) -> NDArray[np.float64]:
    entries = torch.zeros_like(adjoint.theta)
    for part, law in zip(flat.parts, laws, strict=False):
        if law is None:
            continue
        theta, momentum = adjoint.theta[part], adjoint.momentum[part]
        scale = scales[0][part] if law.is_scaled and scales[0] is not None else None
        carried = scale if law.is_shared else None
        if law.is_carried_scaled and not law.is_shared and scales[1] is not None:
            carried = scales[1][part]
        taken = law.intake * momentum
        if law.scaled_intake and scale is not None:
            taken = taken * scale
        entry = _times(law.gradient_factor, scale, theta) + taken
        entries[part] = entry
        adjoint.momentum[part] = _times(law.history_factor, carried, theta) + law.retain * momentum
        adjoint.theta[part] = (1.0 - law.decoupled_decay) * theta + law.coupled_decay * entry
    return entries.numpy()


def opening_lines(
    run: RecordedRun, folder: Path, flat: Flat, interval: Interval, adjoint: Adjoint
) -> dict[str, NDArray[np.float64]]:
    """Return what was there before the interval did in it, per group: decay, opening momentum."""
    theta = flat.vector(load_weights(run.state_dir(interval[0]) / "model.safetensors"))
    moved = adjoint.theta - displacement(run, interval, flat)
    held = read_opening(folder)
    num_groups = max(flat.columns) + 1
    lines = {name: np.zeros(num_groups) for name in ("frozen_decay", "frozen_opening")}
    for entry, column, part in zip(flat.entries, flat.columns, flat.parts, strict=True):
        lines["frozen_decay"][column] += float(torch.dot(moved[part], theta[part]))
        if entry.name in held:
            momentum = torch.from_numpy(held[entry.name].reshape(-1))
            lines["frozen_opening"][column] += float(torch.dot(adjoint.momentum[part], momentum))
    return lines


def _times(factor: float, scale: Tensor | None, vector: Tensor) -> Tensor:
    return vector * factor if scale is None else vector * scale * factor
