"""Calibrated predictions: the interval of a new observation in a regression through the origin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.query.calibration import COVERAGE, LEAST, calibrated

numbers = st.floats(-100, 100).filter(lambda value: abs(value) > 1e-3)


@pytest.mark.parametrize("num_trials", [3, 4, 10, 30])
def test_intervals_cover_what_they_say(num_trials: int) -> None:
    """Noise falls with the root of the number removed, as the model says; slope .6."""
    rng, hits, rounds = np.random.default_rng(num_trials), 0, 3000
    for _ in range(rounds):
        predicted = rng.normal(size=num_trials)
        executed = 0.6 * predicted + 0.5 * rng.normal(size=num_trials)
        asked = 2.0 * rng.normal()
        happened = 0.6 * asked + 0.5 * math.sqrt(0.25) * rng.normal()
        trials = list(zip(predicted.tolist(), executed.tolist(), strict=True))
        found = calibrated(trials, 40, asked, 10)
        assert found is not None
        hits += found.low <= happened <= found.high
    assert hits / rounds == pytest.approx(COVERAGE, abs=0.02)


@given(st.lists(numbers, min_size=LEAST, max_size=40), numbers, st.integers(1, 50))
def test_a_prediction_that_held_is_scaled_without_doubt(
    predicted: list[float], asked: float, size: int
) -> None:
    found = calibrated([(p, -2.5 * p) for p in predicted], size, asked, size)
    assert found is not None
    scale = abs(2.5 * asked) + 1e-9
    assert found.value == pytest.approx(-2.5 * asked, rel=1e-9)
    assert abs(found.high - found.low) <= 1e-5 * scale * (1 + 100 / min(map(abs, predicted)))
    assert found.low <= found.value <= found.high


@given(st.lists(st.tuples(numbers, numbers), min_size=LEAST, max_size=12), numbers)
def test_more_removed_is_known_less_well(trials: list[tuple[float, float]], asked: float) -> None:
    few, many = (calibrated(trials, 50, asked, num) for num in (1, 50))
    assert few is not None
    assert many is not None
    assert many.high - many.low >= few.high - few.low
    assert many.value == few.value


def test_too_few_trials_say_nothing() -> None:
    assert calibrated([(1.0, 1.0)] * (LEAST - 1), 5, 1.0, 1) is None
    assert calibrated([(0.0, 1.0)] * LEAST, 5, 1.0, 1) is None
    assert calibrated([(1.0, 1.0)] * LEAST, 0, 1.0, 1) is None


def test_nothing_is_said_of_what_goes_beyond_the_trials() -> None:
    trials = [(1.0, 1.0), (2.0, 1.5), (3.0, 2.0)]
    assert calibrated(trials, 10, 1.0, 15) is not None
    assert calibrated(trials, 10, 1.0, 16) is None
