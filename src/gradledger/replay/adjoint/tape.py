"""States of a run that is gone through backwards: what one step must be remembered by.

Shape legend: P elements of all parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, optim

from gradledger.replay.adjoint.clipping import Edit
from gradledger.replay.adjoint.layout import Layout
from gradledger.replay.adjoint.transition import Moment, State, Transition
from gradledger.state.torch_state import RngState


@dataclass(frozen=True)
class Settings:
    """What the optimizer was set to in one step, by param group.

    Attributes:
        numbers: As transitions note them.
        live: All settings as they stood, to be put back.
    """

    numbers: list[dict[str, float]]
    live: list[dict[str, Any]]

    @classmethod
    def read(cls, optimizer: optim.Optimizer, transition: Transition) -> Settings:
        """Read all param groups."""
        return cls(
            [transition.note(group) for group in optimizer.param_groups],
            [
                {name: _copied(value) for name, value in group.items() if name != "params"}
                for group in optimizer.param_groups
            ],
        )

    def write(self, optimizer: optim.Optimizer) -> None:
        """Put them back."""
        for group, values in zip(optimizer.param_groups, self.live, strict=True):
            group.update({name: _copied(value) for name, value in values.items()})


@dataclass(frozen=True)
class Stand:
    """Parameters and optimizer state between two steps.

    Attributes:
        theta: Parameters, shape (P,).
        state: Optimizer state by name, each (P,); zeros where it does not exist yet.
        counts: Steps taken, by place: torch counts none where a parameter had no gradient.
    """

    theta: Tensor
    state: State
    counts: tuple[int, ...]

    @classmethod
    def read(cls, layout: Layout, optimizer: optim.Optimizer, transition: Transition) -> Stand:
        """Read the live parameters and state."""
        counts = tuple(
            transition.count(optimizer.state.get(value, {})) for value in layout.parameters
        )
        names = {
            name
            for group in optimizer.param_groups
            for name in transition.names(transition.note(group))
        }
        state = {}
        for name in sorted(names):
            live = [optimizer.state.get(value, {}).get(name) for value in layout.parameters]
            state[name] = layout.gather(
                [
                    torch.zeros_like(value) if held is None else held
                    for value, held in zip(layout.parameters, live, strict=True)
                ]
            )
        return cls(layout.read(), state, counts)

    def write(self, layout: Layout, optimizer: optim.Optimizer, transition: Transition) -> None:
        """Set the live parameters and state."""
        layout.write(self.theta)
        parts = {name: layout.split(value) for name, value in self.state.items()}
        for index, place in enumerate(layout.places):
            count = self.counts[index]
            if not count:
                optimizer.state.pop(place.parameter, None)
                continue
            numbers = transition.note(optimizer.param_groups[place.param_group])
            own = {name: parts[name][index].clone() for name in transition.names(numbers)}
            optimizer.state[place.parameter] = transition.restore(count, own, place.parameter)

    @property
    def num_bytes(self) -> int:
        """Memory."""
        tensors = [self.theta, *self.state.values()]
        return sum(value.numel() * value.element_size() for value in tensors)


@dataclass
class Taped:
    """One step.

    Attributes:
        stand: State before it.
        raw: Gradient that was accumulated, shape (P,); zeros where there was none.
    """

    stand: Stand
    raw: Tensor

    def moments(
        self, layout: Layout, noted: Noted, blunt: float = 0.0
    ) -> list[tuple[slice, Moment]]:
        """Return the step of every stretch of parameters that were stepped alike.

        Parameters without a gradient are in none: torch leaves them and their state alone.
        """
        used = noted.edit.applied(self.raw)
        found = []
        for (number, count, is_absent), places in groupby(
            range(len(layout.places)),
            lambda n: (layout.places[n].param_group, self.stand.counts[n], n in noted.absent),
        ):
            if is_absent:
                continue
            stretch = [layout.places[index] for index in places]
            part = slice(stretch[0].start, stretch[-1].stop)
            state = {name: value[part] for name, value in self.stand.state.items()}
            settings = noted.settings.numbers[number]
            moment = Moment(self.stand.theta[part], state, used[part], settings, count, blunt)
            found.append((part, moment))
        return found


@dataclass
class Noted:
    """What is small about a step and is kept of all of them.

    Attributes:
        rng: Random numbers when it began.
        settings: Of the optimizer.
        edit: What the loop did to the gradients.
        losses: Values that ``backward`` was called on.
        absent: Numbers of the places without a gradient.
    """

    rng: RngState
    settings: Settings
    edit: Edit
    losses: list[float] = field(default_factory=list)
    absent: frozenset[int] = frozenset()


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
