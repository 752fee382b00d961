"""Coefficients of torch's SGD and Adam families, from settings and state alone.

Written out optimizer by optimizer as the textbooks have them, without the update room, so that the
books can be held against them. With s the sign (-1 under ``maximize``), g the gradient and lambda
and omega the coupled and decoupled decay,

    delta   = C (s g + lambda theta) + H m_before - omega theta
            = -A (s g + lambda theta) + B (m_after - m_before) - omega theta
    m_after = retain m_before + intake (s g + lambda theta)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, optim


@dataclass(frozen=True)
class Row:
    """One row of the table at one step.

    Attributes:
        gradient: C.
        history: H.
        incurred: A.
        inventory: B.
        retain: Share of the momentum that is kept.
        intake: Share of the gradient that enters the momentum.
        coupled: lambda.
        decoupled: omega.
        sign: s.
    """

    gradient: Tensor | float
    history: Tensor | float
    incurred: Tensor | float
    inventory: Tensor | float
    retain: float
    intake: float
    coupled: float
    decoupled: float
    sign: float


@dataclass(frozen=True)
class Held:
    """What must be read before the step.

    Attributes:
        settings: Options of the optimizer's param group.
        momentum: Copy of the momentum; None where there is none.
    """

    settings: dict[str, Any]
    momentum: Tensor | None


def hold(optimizer: optim.Optimizer, parameter: Tensor) -> Held:
    """Read options and momentum of the first param group before ``step()``."""
    group = optimizer.param_groups[0]
    name = "exp_avg" if isinstance(optimizer, optim.Adam) else "momentum_buffer"
    momentum = optimizer.state.get(parameter, {}).get(name)
    options = {key: value for key, value in group.items() if key != "params"}
    return Held(options, None if momentum is None else momentum.clone())


def read(held: Held, optimizer: optim.Optimizer, parameter: Tensor) -> Row:
    """Return the row of the step that was taken since ``hold``."""
    if isinstance(optimizer, optim.Adam):
        return _adam(held.settings, optimizer.state[parameter])
    return _sgd(held.settings, held.momentum is None)


def momentum_of(optimizer: optim.Optimizer, parameter: Tensor) -> Tensor:
    """Copy the momentum as it stands; zeros where there is none."""
    found = hold(optimizer, parameter).momentum
    return torch.zeros_like(parameter).detach() if found is None else found


def _sgd(options: Mapping[str, Any], first: bool) -> Row:  # noqa: FBT001
    eta, mu, tau = (float(options[name]) for name in ("lr", "momentum", "dampening"))
    intake = 1.0 if first else 1.0 - tau
    gradient, history, incurred, inventory = -eta, 0.0, eta, 0.0
    if mu and options["nesterov"]:  # torch forbids dampening here.
        gradient, history = -eta * (1.0 + mu), -eta * mu**2
        incurred, inventory = eta / (1.0 - mu), eta * mu**2 / (1.0 - mu)
    elif mu:
        gradient, history = -eta * intake, -eta * mu
        incurred, inventory = eta * intake / (1.0 - mu), eta * mu / (1.0 - mu)
    return Row(
        gradient,
        history,
        incurred,
        inventory,
        retain=mu,
        intake=intake if mu else 0.0,
        coupled=float(options["weight_decay"]),
        decoupled=0.0,
        sign=_sign(options),
    )


def _adam(options: Mapping[str, Any], state: Mapping[str, Any]) -> Row:
    eta, (b1, b2), step = float(options["lr"]), options["betas"], int(state["step"])
    second: Tensor = state["max_exp_avg_sq" if options["amsgrad"] else "exp_avg_sq"]
    denominator = (second / (1.0 - b2**step)).sqrt() + float(options["eps"])
    incurred = eta / ((1.0 - b1**step) * denominator)
    decay, decoupled = float(options["weight_decay"]), options["decoupled_weight_decay"]
    return Row(
        gradient=-(1.0 - b1) * incurred,
        history=-b1 * incurred,
        incurred=incurred,
        inventory=b1 / (1.0 - b1) * incurred,
        retain=b1,
        intake=1.0 - b1,
        coupled=0.0 if decoupled else decay,
        decoupled=eta * decay if decoupled else 0.0,
        sign=_sign(options),
    )


def _sign(options: Mapping[str, Any]) -> float:
    return -1.0 if options["maximize"] else 1.0
