"""Linear data-modelling scores on a fixed trajectory, and the removals they are taken over."""

from __future__ import annotations

import numpy as np

from gradledger.query.agreement import spearman


def draw_removals(num_examples: int, share: float, count: int, seed: int) -> list[np.ndarray]:
    """Draw random sets of examples to remove."""
    rng = np.random.default_rng([seed, round(share * 1e6)])
    size = max(1, round(share * num_examples))
    return [np.sort(rng.choice(num_examples, size, replace=False)) for _ in range(count)]


def weights_without(removals: list[np.ndarray], num_examples: int) -> np.ndarray:
    """Return one row of example weights per removal."""
    weights = np.ones((len(removals), num_examples), np.float32)
    for row, removed in zip(weights, removals, strict=True):
        row[removed] = 0.0
    return weights


def lds(predicted: np.ndarray, executed: np.ndarray) -> float:
    """Return the mean over queries of Spearman's correlation over removals.

    Args:
        predicted: Predicted change, shape (removals, queries).
        executed: Executed change, likewise.
    """
    scores = [
        spearman(p.tolist(), e.tolist()) or 0.0
        for p, e in zip(predicted.T, executed.T, strict=True)
    ]
    return float(np.mean(scores))
