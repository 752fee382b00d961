"""Calibrated predictions: a derivative's prediction, scaled and bounded by executed trial removals.

    executed_i = slope * predicted_i + sqrt(k_i) * scatter * noise_i,   noise of variance 1

where k examples are removed. The slope is fitted through the origin on trial removals, which are
random and disjoint from what is asked about; the interval is that of a new observation, by
Student's t with n - 1 degrees of freedom. Its coverage is measured, not assumed.

Nothing is said of removals larger than the trials: there the path bends further than any trial saw.
Of smaller ones the interval is on the safe side where training is smooth.

Source: Neter et al., "Applied Linear Regression Models", regression through the origin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: Nominal coverage of the intervals.
COVERAGE: Final = 0.9
#: Trials that an interval needs at least: with two, it would say nothing.
LEAST: Final = 3
#: Largest removal that is calibrated, over the size of the trials.
REACH: Final = 1.5
#: 95 % point of Student's t by degrees of freedom, from 1.
_T: Final = (
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812,
    1.796, 1.782, 1.771, 1.761, 1.753, 1.746, 1.740, 1.734, 1.729, 1.725,
)  # fmt: skip
_T_BEYOND: Final = 1.645


@dataclass(frozen=True)
class Calibrated:
    """A prediction that executed removals corrected.

    Attributes:
        value: Scaled prediction.
        low: Lower end of the interval that covers nine in ten.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def calibrated(
    trials: Sequence[tuple[float, float]], num_removed: int, predicted: float, num_asked: int
) -> Calibrated | None:
    """Return a prediction scaled and bounded by trials.

    Args:
        trials: Predicted and executed change of each trial removal.
        num_removed: Examples that each of them removed.
        predicted: First-order prediction that is asked about.
        num_asked: Examples that it is about.

    Returns:
        ``None`` where there are too few trials, they tell nothing, or far more is asked about.
    """
    weight = math.fsum(p * p for p, _ in trials)
    if len(trials) < LEAST or not weight or num_asked > REACH * num_removed:
        return None
    slope = math.fsum(p * e for p, e in trials) / weight
    freedom = len(trials) - 1
    variance = math.fsum((e - slope * p) ** 2 for p, e in trials) / freedom
    spread = variance * (num_asked / num_removed + predicted * predicted / weight)
    half = (_T[freedom - 1] if freedom <= len(_T) else _beyond(freedom)) * math.sqrt(spread)
    return Calibrated(slope * predicted, slope * predicted - half, slope * predicted + half)


def _beyond(freedom: int) -> float:
    """Approach the normal distribution's point as 1 / freedom."""
    return _T_BEYOND + (_T[-1] - _T_BEYOND) * len(_T) / freedom
