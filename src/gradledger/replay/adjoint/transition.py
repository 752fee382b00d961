"""How one optimizer step is differentiated: one small interface, one file per family, one registry.

A transition maps (theta, state, gradient) before a step to (theta, state) after it. ``pull`` is its
vector-Jacobian product, ``push`` its Jacobian-vector product, both element by element on flat
vectors; leading axes of cotangents and tangents are behaviours or interventions.

Shape legend: K behaviours, P elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn, optim

from gradledger.errors import ReplayError

#: State of the optimizer by name, each shape (P,); or its adjoints or tangents, (K, P).
State = dict[str, Tensor]


@dataclass(frozen=True)
class Moment:
    """One optimizer step of one param group, as it was taken.

    Attributes:
        theta: Parameters before it, shape (P,).
        state: State before it.
        gradient: What the optimizer consumed.
        settings: Numbers of the param group; flags are 0.0 or 1.0.
        count: Steps that had been taken before.
        blunt: Size of gradients below which derivatives are not followed; 0 for exact ones.
    """

    theta: Tensor
    state: State
    gradient: Tensor
    settings: Mapping[str, float]
    count: int
    blunt: float = 0.0


class Transition:
    """What one optimizer family must say about itself."""

    classes: ClassVar[tuple[type[optim.Optimizer], ...]] = ()
    #: Settings that a step is noted with.
    settings: ClassVar[tuple[str, ...]] = ()
    #: Name in the optimizer's state -> whether it exists under given settings.
    buffers: ClassVar[tuple[str, ...]] = ()

    def note(self, param_group: Mapping[str, Any]) -> dict[str, float]:
        """Return the settings of a param group as numbers."""
        return {name: float(param_group[name]) for name in self.settings}

    def names(self, settings: Mapping[str, float]) -> tuple[str, ...]:  # noqa: ARG002
        """Return the buffers that exist under these settings once a step was taken."""
        return self.buffers

    def count(self, state: Mapping[str, Any]) -> int:
        """Return how many steps a parameter has taken, from its live state."""
        step = state.get("step", 0)
        return int(step.item()) if isinstance(step, Tensor) else int(step)

    def restore(self, count: int, buffers: Mapping[str, Tensor], parameter: nn.Parameter) -> Any:
        """Return the live state of a parameter after ``count`` steps."""
        step = torch.tensor(float(count), dtype=torch.float32)
        return {"step": step, **{name: value.view_as(parameter) for name, value in buffers.items()}}

    def forward(self, moment: Moment) -> tuple[Tensor, State]:
        """Return parameters and state after the step."""
        raise NotImplementedError

    def pull(self, moment: Moment, theta: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Return adjoints of parameters, state and gradient before the step.

        Args:
            moment: The step.
            theta: Adjoint of the parameters after it, shape (K, P).
            state: Adjoints of the state after it.
        """
        raise NotImplementedError

    def push(
        self, moment: Moment, theta: Tensor, state: State, gradient: Tensor
    ) -> tuple[Tensor, State]:
        """Return tangents of parameters and state after the step, from those before it."""
        raise NotImplementedError


_Member = TypeVar("_Member", bound=type[Transition])
TRANSITIONS: list[Transition] = []


def register(member: _Member) -> _Member:
    """Add a family to the registry."""
    TRANSITIONS.append(member())
    return member


def find_transition(optimizer: optim.Optimizer) -> Transition:
    """Return the family of an optimizer.

    Raises:
        ReplayError: Its step cannot be differentiated. Code R171.
    """
    for transition in TRANSITIONS:
        if type(optimizer) in transition.classes:
            return transition
    known = [kind.__name__ for member in TRANSITIONS for kind in member.classes]
    raise ReplayError(
        "R171",
        observed=type(optimizer).__name__,
        expected="one of " + ", ".join(known),
        where="optimizer",
        hint="ask for an executed replay instead: how='replay'",
    )
