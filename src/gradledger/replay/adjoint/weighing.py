"""Weights of examples as an intervention: what predictions are held against."""

from __future__ import annotations

from collections.abc import Mapping

from gradledger.schema import Intervention, Remove, Reweight, Together


def weighing(factors: Mapping[int, float]) -> Intervention:
    """Return the intervention that multiplies the profile of each example by its own number.

    Args:
        factors: Example number -> factor of at least 0; examples that are not named keep theirs.
    """
    by_factor: dict[float, list[int]] = {}
    for example, factor in sorted(factors.items()):
        if factor != 1.0:
            by_factor.setdefault(factor, []).append(example)
    parts = [Reweight(tuple(examples), factor) for factor, examples in by_factor.items()]
    return Together(tuple(parts)) if parts else Remove()
