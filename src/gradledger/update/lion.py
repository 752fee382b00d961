"""Lion: the sign of an interpolated momentum. Not part of torch; known by name and behaviour.

    c = b1 m_before + (1 - b1) g,   delta = -eta sign(c) - eta lambda theta
    m_after = b2 m_before + (1 - b2) g

The sign is not linear in the gradient. Its projection on c is: sign(c) = alpha c + rest, with
alpha = |c|_1 / |c|^2 over the tensor, so that the rest is orthogonal to c. The rest, times -eta, is
the remainder line N; it is large, and it is nobody's.

    C = -eta alpha (1 - b1)   H = -eta alpha b1   A = eta alpha   B = eta alpha b1 / (1 - b2)

A class counts as Lion where it is called so, has the settings ``lr``, ``betas`` and
``weight_decay``, keeps ``exp_avg``, and moves a trial parameter over three steps as the formula
says. What the real steps do is tested by the balance of every step, as for all families.

Source: Chen et al., arXiv:2302.06675; the package lion-pytorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradledger.update.account import Account
from gradledger.update.family import Before, register
from gradledger.update.moment_family import MomentFamily
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised
from gradledger.update.settings import read_settings

__all__ = ["LionFamily"]

_SETTINGS: Final = ("lr", "betas", "weight_decay")

# Options of known implementations that change the rule: they must be off.
_OPTIONS: Final = ("cautious", "maximize", "decoupled_weight_decay")


@register
class LionFamily(MomentFamily):
    """Any optimizer class named ``Lion`` that does what Lion does."""

    name: ClassVar[str] = "lion"
    classes: ClassVar[tuple[type[Optimizer], ...]] = ()
    class_names: ClassVar[tuple[str, ...]] = ("Lion",)
    floats: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")

    def accepts(self, optimizer: Optimizer) -> bool:
        """Accept a class by its name and by what it does to a trial parameter."""
        kind = type(optimizer)
        if kind.__name__ not in self.class_names:
            return False
        groups = optimizer.param_groups
        return (
            all(
                all(name in group for name in _SETTINGS)
                and not any(group.get(name) for name in _OPTIONS)
                and float(group.get("cautious_factor", 1.0)) == 1.0
                for group in groups
            )
            and not getattr(optimizer, "decoupled_wd", False)
            and _behaves(kind)
        )

    def remember(
        self,
        gradient: Tensor,
        state: Mapping[str, Any],
        param_group: Mapping[str, Any],
        reuse: Before | None,
    ) -> Before:
        """Copy the momentum, and the gradient: known implementations write to it."""
        return super().remember(gradient.clone(), state, param_group, reuse)

    def read_law(self, before: Before, state: Mapping[str, Any]) -> Realised:
        """Read the law of the step that was taken."""
        settings = before.settings
        eta, beta1, beta2 = settings["lr"], settings["beta1"], settings["beta2"]
        interpolated = _interpolated(before.gradient, before.momentum, beta1)
        wide = interpolated.to(precision_of(interpolated.dtype).compute)
        alpha = _slope(wide)
        return Realised(
            sign=1.0,
            gradient_factor=-eta * alpha * (1.0 - beta1),
            history_factor=0.0 if before.momentum is None else -eta * alpha * beta1,
            incurred_factor=eta * alpha,
            inventory_factor=eta * alpha * beta1 / (1.0 - beta2),
            gradient_scale=None,
            carried_scale=None,
            momentum_before=before.momentum,
            momentum_after=state["exp_avg"],
            retain=beta2,
            intake=1.0 - beta2,
            coupled_decay=0.0,
            decoupled_decay=eta * settings["weight_decay"],
            cash_factor=1.0 - beta1,
            learning_rate=eta,
            remainder=wide.mul(alpha).sub_(torch.sign(wide)).mul_(eta),
        )

    def open_account(
        self, optimizer: Optimizer, parameter: Tensor, param_group: Mapping[str, Any]
    ) -> Account:
        """Value the momentum at today's rate and at the slope that it has by itself."""
        moment = optimizer.state.get(parameter, {}).get("exp_avg")
        if moment is None:
            return Account()
        settings = read_settings(param_group, self.floats)
        wide = moment.detach().to(precision_of(moment.dtype).compute)
        rate = settings["lr"] * settings["beta1"] / (1.0 - settings["beta2"])
        return Account.from_tensors({"inventory": wide * (rate * _slope(wide))}, parameter)


def _interpolated(gradient: Tensor, momentum: Tensor | None, beta: float) -> Tensor:
    """Return c in the order of operations of the known implementations."""
    carried = torch.zeros_like(gradient) if momentum is None else momentum.clone()
    return carried.mul_(beta).add_(gradient, alpha=1.0 - beta)


def _slope(vector: Tensor) -> float:
    """Return alpha = |c|_1 / |c|^2; 0 where c is 0."""
    wide = vector.double()
    square = float(wide.square().sum())
    return float(wide.abs().sum()) / square if square else 0.0


@torch.no_grad()
def _behaves(kind: type[Optimizer]) -> bool:
    """Take three steps with a parameter of our own and compare."""
    eta, beta1, beta2, decay = 0.03, 0.8, 0.6, 0.1
    parameter = nn.Parameter(torch.linspace(-1.0, 1.0, 7, dtype=torch.float64))
    make: Any = kind
    try:
        optimizer = make([parameter], lr=eta, betas=(beta1, beta2), weight_decay=decay)
        theta, moment = parameter.clone(), torch.zeros_like(parameter)
        for number in range(3):
            gradient = torch.sin(torch.arange(7, dtype=torch.float64) * (number + 1) + 0.3)
            parameter.grad = gradient.clone()
            optimizer.step()
            sign = _interpolated(gradient, moment, beta1).sign_()
            theta = theta * (1.0 - eta * decay) - eta * sign
            moment = beta2 * moment + (1.0 - beta2) * gradient
            carried = optimizer.state[parameter]["exp_avg"]
            if not torch.allclose(parameter, theta, rtol=1e-9) or not torch.allclose(
                carried, moment, rtol=1e-9
            ):
                return False
    except (TypeError, ValueError, KeyError, RuntimeError, AttributeError):
        return False
    return True
