"""Interventions: what is done to chosen examples when a run is executed again.

Changes of weights act where a depth profile acts: on the gradient of one example, before
accumulation. A substitution acts on content instead. Batch positions, order, learning rates and
random numbers stay as recorded; so do loss denominators, but for ``Renormalise``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Final

#: What a renormalised mean counts: every visit as one, or as its tokens.
RENORMALISED_BY: Final[tuple[str, ...]] = ("visits", "tokens")

Weights = tuple[float, ...]


@dataclass(frozen=True)
class Change:
    """One thing done to chosen examples, over all steps or some.

    Attributes:
        examples: Example numbers, ascending.
        steps: First and last step in which it holds; None for the whole run.
    """

    operation: ClassVar[str] = ""

    examples: tuple[int, ...] = ()
    steps: tuple[int, int] | None = field(default=None, kw_only=True)

    @cached_property
    def chosen(self) -> frozenset[int]:
        """The examples, for looking one up."""
        return frozenset(self.examples)

    def covers(self, step: int) -> bool:
        """Whether it holds in a step."""
        return self.steps is None or self.steps[0] <= step <= self.steps[1]

    def applied(self, profile: Sequence[float]) -> Weights:
        """Return the weights per block that take the place of a profile's."""
        return tuple(profile)

    def to_dict(self) -> dict[str, object]:
        """Return what decides the intervention, as plain values."""
        found: dict[str, object] = {"operation": self.operation, "examples": list(self.examples)}
        if self.steps is not None:
            found["steps"] = list(self.steps)
        return found


@dataclass(frozen=True)
class Remove(Change):
    """Give examples weight 0 in every group; without examples it is the empty intervention."""

    operation = "remove"

    def applied(self, profile: Sequence[float]) -> Weights:
        """Return zeros."""
        return (0.0,) * len(profile)


@dataclass(frozen=True)
class Renormalise(Remove):
    """Remove examples, and let the mean over a micro-batch run over the visits that remain.

    Where B visits are in a micro-batch and k of them are removed, the gradients of the others are
    multiplied by B / (B - k): what a loss that is a mean over rows gives without those rows, to
    rounding. Where nothing remains, nothing is multiplied.

    Attributes:
        by: ``visits``, or ``tokens`` where the loss is a mean over all tokens of a micro-batch.
    """

    operation = "renormalise"

    by: str = field(default="visits", kw_only=True)

    def factor(self, examples: Sequence[int], sizes: Sequence[float]) -> float:
        """Return what the remaining visits of a micro-batch are multiplied by.

        Args:
            examples: The example of every visit.
            sizes: What every visit counts.
        """
        pairs = list(zip(examples, sizes, strict=True))
        kept = sum(size for example, size in pairs if example not in self.chosen)
        return sum(sizes) / kept if kept else 1.0

    def to_dict(self) -> dict[str, object]:
        """Return what decides the intervention, as plain values."""
        return {**super().to_dict(), "by": self.by}


@dataclass(frozen=True)
class Reweight(Change):
    """Multiply the profile of examples by one number in every group.

    Attributes:
        factor: 0 removes, 1 leaves as it was, 2 counts twice.
    """

    operation = "reweight"

    factor: float = 1.0

    def applied(self, profile: Sequence[float]) -> Weights:
        """Return the profile times the factor."""
        return tuple(self.factor * weight for weight in profile)

    def to_dict(self) -> dict[str, object]:
        """Return what decides the intervention, as plain values."""
        return {**super().to_dict(), "factor": float(self.factor)}


@dataclass(frozen=True)
class Reprofile(Change):
    """Hold examples to another depth profile.

    Attributes:
        weights: One weight per block, from input to output.
    """

    operation = "reprofile"

    weights: Weights = ()

    def applied(self, profile: Sequence[float]) -> Weights:  # noqa: ARG002 - as above
        """Return the other profile."""
        return self.weights

    def to_dict(self) -> dict[str, object]:
        """Return what decides the intervention, as plain values."""
        return {**super().to_dict(), "weights": [float(weight) for weight in self.weights]}


@dataclass(frozen=True)
class Substitute(Change):
    """Present other content in the place of examples, of the same form; weights stay.

    Attributes:
        contents: What is presented instead of each example: ``example:N`` for the content of
            another one, else the keyed commitment to it.
        items: Example number -> item as the data set yields it; empty where other examples are
            named. Not part of the identity, which ``contents`` is.
        same: Examples whose content it is already, so that nothing changes.
    """

    operation = "substitute"

    contents: tuple[str, ...] = ()
    items: Mapping[int, Any] = field(default_factory=dict, compare=False, repr=False)
    same: tuple[int, ...] = field(default=(), compare=False)

    @cached_property
    def by_example(self) -> dict[int, int]:
        """Example number -> number of the example whose content takes its place."""
        pairs = zip(self.examples, self.contents, strict=True)
        named = ((example, content.partition(":")) for example, content in pairs)
        return {example: int(number) for example, (kind, _, number) in named if kind == "example"}

    def to_dict(self) -> dict[str, object]:
        """Return what decides the intervention, as plain values."""
        return {**super().to_dict(), "contents": list(self.contents)}


@dataclass(frozen=True)
class Together:
    """Several changes in one run; each acts on what the ones before it left.

    Attributes:
        parts: The changes, in order.
        origin: Where they come from, such as the digest of the policy that asks for them.
    """

    operation: ClassVar[str] = "together"

    parts: tuple[Change, ...]
    origin: Mapping[str, str] = field(default_factory=dict, hash=False)

    @cached_property
    def examples(self) -> tuple[int, ...]:
        """All examples of the parts, ascending."""
        return tuple(sorted({example for part in self.parts for example in part.examples}))

    def to_dict(self) -> dict[str, object]:
        """Return what decides the intervention, as plain values."""
        return {
            "operation": self.operation,
            "parts": [part.to_dict() for part in self.parts],
            "origin": dict(self.origin),
        }


Intervention = Change | Together


def parts_of(intervention: Intervention) -> tuple[Change, ...]:
    """Return the changes that an intervention consists of, in order."""
    return intervention.parts if isinstance(intervention, Together) else (intervention,)


def intervention_from(record: Mapping[str, Any]) -> Intervention:
    """Return the intervention that ``to_dict`` wrote down; items of content are not in it.

    Args:
        record: What ``to_dict`` returned, after JSON.
    """
    if record["operation"] == Together.operation:
        parts = tuple(intervention_from(part) for part in record["parts"])
        return Together(tuple(p for p in parts if isinstance(p, Change)), dict(record["origin"]))
    kinds = {
        kind.operation: kind for kind in (Remove, Renormalise, Reweight, Reprofile, Substitute)
    }
    fields: dict[str, Any] = {name: value for name, value in record.items() if name != "operation"}
    for name in ("examples", "steps", "weights", "contents"):
        if name in fields:
            fields[name] = tuple(fields[name])
    return kinds[record["operation"]](**fields)


def changed_weights(
    intervention: Intervention,
    step: int,
    examples: Sequence[int],
    profiles: Sequence[Sequence[float]],
    tokens: Sequence[float],
) -> list[Weights]:
    """Return the weights of the visits of one micro-batch under an intervention.

    Args:
        intervention: What is done.
        step: The step.
        examples: The example of every visit, in order.
        profiles: Its factual weights, one per block.
        tokens: Its tokens.

    Returns:
        Weights per visit and block.
    """
    weights = [tuple(profile) for profile in profiles]
    for part in parts_of(intervention):
        chosen = [place for place, example in enumerate(examples) if example in part.chosen]
        if not chosen or not part.covers(step):
            continue
        for place in chosen:
            weights[place] = part.applied(weights[place])
        if isinstance(part, Renormalise):
            sizes = tokens if part.by == "tokens" else [1.0] * len(examples)
            factor = part.factor(examples, sizes)
            for place in set(range(len(examples))).difference(chosen):
                weights[place] = tuple(factor * weight for weight in weights[place])
    return weights
