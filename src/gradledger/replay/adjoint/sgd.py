"""SGD, plain, with momentum, dampening and Nesterov momentum: its step and the derivatives of it.

    h = s g + lambda theta        b' = mu b + i h        theta' = theta - eta d
    d = b', with Nesterov h + mu b', without momentum h;  i = 1 - tau, 1 where b does not exist yet

Source: torch.optim.SGD.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn, optim

from gradledger.replay.adjoint.transition import Moment, State, Transition, register

_BUFFER = "momentum_buffer"


@register
class SgdTransition(Transition):
    """``torch.optim.SGD``; the state has a buffer where there is momentum and a step was taken."""

    classes: ClassVar[tuple[type[optim.Optimizer], ...]] = (optim.SGD,)
    settings: ClassVar[tuple[str, ...]] = (
        "lr",
        "momentum",
        "dampening",
        "weight_decay",
        "nesterov",
        "maximize",
    )
    buffers: ClassVar[tuple[str, ...]] = (_BUFFER,)

    def names(self, settings: Mapping[str, float]) -> tuple[str, ...]:
        """Return the buffer where there is momentum."""
        return self.buffers if settings["momentum"] else ()

    def count(self, state: Mapping[str, Any]) -> int:
        """Return 1 where the buffer exists: torch counts no steps of SGD."""
        return int(state.get(_BUFFER) is not None)

    def restore(self, count: int, buffers: Mapping[str, Tensor], parameter: nn.Parameter) -> Any:
        """Return the buffer alone."""
        return {name: value.view_as(parameter) for name, value in buffers.items()} if count else {}

    def forward(self, moment: Moment) -> tuple[Tensor, State]:
        """Take the step."""
        eta, mu, intake, sign = _numbers(moment)
        asked = sign * moment.gradient + moment.settings["weight_decay"] * moment.theta
        if not mu:
            return moment.theta - eta * asked, moment.state
        buffer = intake * asked
        if moment.count:
            buffer = buffer + mu * moment.state[_BUFFER]
        direction = asked + mu * buffer if moment.settings["nesterov"] else buffer
        return moment.theta - eta * direction, {_BUFFER: buffer}

    def pull(self, moment: Moment, theta: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Return the adjoints before the step."""
        eta, mu, intake, sign = _numbers(moment)
        decay = moment.settings["weight_decay"]
        direction = -eta * theta
        before: State = {}
        if mu:
            nesterov = moment.settings["nesterov"]
            buffer = state[_BUFFER] + (mu * direction if nesterov else direction)
            asked = intake * buffer + (direction if nesterov else 0.0)
            before[_BUFFER] = mu * buffer if moment.count else torch.zeros_like(buffer)
        else:
            asked = direction
        return theta + decay * asked, before, sign * asked

    def push(
        self, moment: Moment, theta: Tensor, state: State, gradient: Tensor
    ) -> tuple[Tensor, State]:
        """Take the step with the tangents: it is linear."""
        return self.forward(Moment(theta, state, gradient, moment.settings, moment.count))


def _numbers(moment: Moment) -> tuple[float, float, float, float]:
    settings = moment.settings
    intake = 1.0 - settings["dampening"] if moment.count else 1.0
    return settings["lr"], settings["momentum"], intake, -1.0 if settings["maximize"] else 1.0
