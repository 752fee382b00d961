"""The law shared by optimizers that divide a first moment elementwise.

    delta = -scale (p m_after + q g) - omega theta,     m_after = r m_before + i g

with g the signed gradient plus coupled decay. C = -(p i + q), H = -p r; the inventory coefficient
solves H = B (r - 1) and the incurred one C = B i - A, so B = p r / (1 - r), A = B i + p i + q. All
four carry the same elementwise scale, taken as the step left it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gradledger.errors import UpdateError
from gradledger.update.account import Account
from gradledger.update.family import Before
from gradledger.update.realised import Realised

__all__ = ["FirstMoment", "step_after", "step_count"]


@dataclass(frozen=True, slots=True)
class FirstMoment:
    """Numbers of the law.

    Attributes:
        through: p, rate at which the moment acts.
        direct: q, rate at which the gradient acts past the moment.
        retain: r, in [0, 1).
        intake: i.
    """

    through: float
    direct: float
    retain: float
    intake: float

    @property
    def cash(self) -> float:
        """Return -C: what a gradient does at once."""
        return self.through * self.intake + self.direct

    @property
    def stored(self) -> float:
        """B: value of one unit of moment."""
        return self.through * self.retain / (1.0 - self.retain)

    @property
    def incurred(self) -> float:
        """A: all that a gradient will do at today's rates."""
        return self.stored * self.intake + self.cash

    def law(
        self,
        before: Before,
        moment: Tensor,
        scale: Tensor | None,
        *,
        coupled: float = 0.0,
        decoupled: float = 0.0,
        remainder: Tensor | None = None,
    ) -> Realised:
        """Return the law of the step that was taken.

        Args:
            before: What was remembered; ``settings`` has ``lr`` and may have ``maximize``.
            moment: First moment after the step.
            scale: Elementwise factor of all coefficients; None for 1.
            coupled: lambda.
            decoupled: omega.
            remainder: Part of the change that is not linear in the gradient.
        """
        return Realised(
            sign=-1.0 if before.settings.get("maximize") else 1.0,
            gradient_factor=-self.cash,
            history_factor=0.0 if before.momentum is None else -self.through * self.retain,
            incurred_factor=self.incurred,
            inventory_factor=self.stored,
            gradient_scale=scale,
            carried_scale=scale,
            momentum_before=before.momentum,
            momentum_after=moment,
            retain=self.retain,
            intake=self.intake,
            coupled_decay=coupled,
            decoupled_decay=decoupled,
            cash_factor=self.cash / self.incurred if self.incurred else 1.0,
            learning_rate=before.settings["lr"],
            remainder=remainder,
        )

    def open(self, parameter: Tensor, moment: Tensor, scale: Tensor | None) -> Account:
        """Value a moment that was there before recording began."""
        value = moment.detach() * self.stored
        if scale is not None:
            value = value * scale
        return Account.from_tensors({"inventory": value}, parameter)


def step_count(state: Mapping[str, Any]) -> int:
    """Return how many steps a parameter has taken; 0 where it has no state yet."""
    return int(state["step"]) if "step" in state else 0


def step_after(before: Before, state: Mapping[str, Any]) -> int:
    """Return the number of the step that was just taken.

    Raises:
        UpdateError: U104 where the state is not that of exactly one step later.
    """
    step = step_count(state)
    if step != before.step + 1:
        raise UpdateError(
            "U104",
            observed=f"step count {step}",
            expected=f"step count {before.step + 1}",
            hint="read the law right after each optimizer.step()",
        )
    return step
