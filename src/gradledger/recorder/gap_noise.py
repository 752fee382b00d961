"""When a tensor's capture gap is above its bar: ask whether its gradient is more than noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradledger.gradient import Capture, summation_noise
from gradledger.recorder.tracked import Tracked
from gradledger.recorder.visits import TensorVisits
from gradledger.update import Realised, TensorLines, part_gap, precision_of


def with_gap_noise(
    lines: TensorLines,
    entry: Tracked,
    capture: Capture,
    realised: Realised,
    visits: TensorVisits,
    cash_squares: NDArray[np.float64],
) -> TensorLines:
    """Return the lines with their gap parted, where it is above the bar; else as they are.

    One tensor is enough to look at: where no tensor of a group exceeds the bar against its own
    visits, the group does not either, because norms of visits add up at least like the root of
    summed squares. The bound costs another sum over all gradients, which hardly any step pays.

    Args:
        lines: Lines of the tensor.
        entry: The tensor.
        capture: What was captured in this step.
        realised: The law of the step.
        visits: Measures of the visits on the tensor.
        cash_squares: Squared |C kappa gamma_v| of every visit on the tensor.
    """
    bar = precision_of(lines.dtype).tolerance * float(np.sqrt(cash_squares).sum())
    uses = capture.uses(entry.parameter)
    if lines.squares["gap"] <= bar**2 or not uses:
        return lines
    noise = summation_noise(uses, entry.raw.dtype)
    parted = part_gap(realised, lines.kappa, g_raw=entry.raw, captured=visits.total, noise=noise)
    return replace(lines, gap_noise=parted)
