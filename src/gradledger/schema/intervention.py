"""Interventions: what is done to chosen examples when a run is executed again.

All of them act where a depth profile acts: on the gradient of one example, before accumulation.
Loss denominators, batch positions, order, learning rates and random numbers stay as recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Remove:
    """Give examples weight 0 in every group; without examples it is the empty intervention.

    Attributes:
        examples: Example numbers, ascending.
    """

    examples: tuple[int, ...] = ()

    operation = "remove"

    def applied(self, profile: Sequence[float]) -> tuple[float, ...]:
        """Return the weights per block that take the place of a profile's."""
        return (0.0,) * len(profile)

    def to_dict(self) -> dict[str, object]:
        """Return what decides the intervention, as plain values."""
        return {"operation": self.operation, "examples": list(self.examples)}


@dataclass(frozen=True)
class Reweight:
    """Multiply the profile of examples by one number in every group.

    Attributes:
        examples: Example numbers, ascending.
        factor: 0 removes, 1 leaves as it was, 2 counts twice.
    """

    examples: tuple[int, ...]
    factor: float

    operation = "reweight"

    def applied(self, profile: Sequence[float]) -> tuple[float, ...]:
        """Return the weights per block that take the place of a profile's."""
        return tuple(self.factor * weight for weight in profile)

    def to_dict(self) -> dict[str, object]:
        """Return what decides the intervention, as plain values."""
        return {
            "operation": self.operation,
            "examples": list(self.examples),
            "factor": float(self.factor),
        }


@dataclass(frozen=True)
class Reprofile:
    """Hold examples to another depth profile.

    Attributes:
        examples: Example numbers, ascending.
        weights: One weight per block, from input to output.
    """

    examples: tuple[int, ...]
    weights: tuple[float, ...]

    operation = "reprofile"

    def applied(self, profile: Sequence[float]) -> tuple[float, ...]:  # noqa: ARG002 - as above
        """Return the weights per block that take the place of a profile's."""
        return self.weights

    def to_dict(self) -> dict[str, object]:
        """Return what decides the intervention, as plain values."""
        return {
            "operation": self.operation,
            "examples": list(self.examples),
            "weights": [float(weight) for weight in self.weights],
        }


Intervention = Remove | Reweight | Reprofile
