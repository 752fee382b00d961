"""The law of one realised update: how a parameter's change depends on its gradient.

For one parameter tensor and one step every supported optimizer is affine in the gradient that it
consumed, once second moments and learning rates are taken as they were:

    delta = C s g_used + C lambda theta + H m_before - omega theta          (cash basis)
          = -A (s g_used + lambda theta) + B (m_after - m_before) - omega theta   (accrual basis)
    m_after = retain m_before + intake (s g_used + lambda theta)

with s the sign (-1 under ``maximize``), theta the value before the step, lambda the coupled and
omega the decoupled decay. The second form follows from the first for any settings, constant or
scheduled, because C = B intake - A and H = B (retain - 1).

Coefficients are kept as a float times an optional elementwise scale that several of them share:
what only differs by a number is then measured once.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Realised"]


@dataclass(frozen=True, slots=True)
class Realised:
    """Affine law of one parameter tensor at one step.

    ``momentum_after`` may be live optimizer state, and ``momentum_before`` memory that the next
    ``Family.before`` takes over: use the law before the next step.

    Attributes:
        sign: 1.0, or -1.0 where the optimizer maximises.
        gradient_factor: C without its scale; at most 0.
        history_factor: H without its scale.
        incurred_factor: A without its scale; at least 0.
        inventory_factor: B without its scale.
        gradient_scale: Elementwise factor of C and A, shape of the parameter; None for 1.
        carried_scale: Elementwise factor of H and B, shape of the parameter; None for 1.
        momentum_before: Copy of the momentum carried into the step; None where there was none.
        momentum_after: Momentum that the step left; None where the optimizer carries none.
        retain: Share of ``momentum_before`` that is kept.
        intake: Share of the effective gradient that enters the momentum.
        coupled_decay: lambda, added to the signed gradient as lambda theta.
        decoupled_decay: omega, taken from the parameter directly as omega theta.
        cash_factor: C = cash_factor (-A).
        learning_rate: Rate that the optimizer used.
    """

    sign: float
    gradient_factor: float
    history_factor: float
    incurred_factor: float
    inventory_factor: float
    gradient_scale: Tensor | None
    carried_scale: Tensor | None
    momentum_before: Tensor | None
    momentum_after: Tensor | None
    retain: float
    intake: float
    coupled_decay: float
    decoupled_decay: float
    cash_factor: float
    learning_rate: float

    def __post_init__(self) -> None:
        """Refuse a law with both kinds of decay: its decay line would have two owners."""
        if self.coupled_decay and self.decoupled_decay:
            raise ValueError("a law has coupled or decoupled decay, not both")

    @property
    def gradient(self) -> float | Tensor:
        """C: coefficient of this step's signed gradient."""
        return _coefficient(self.gradient_factor, self.gradient_scale)

    @property
    def history(self) -> float | Tensor:
        """H: coefficient of the momentum carried into the step."""
        return _coefficient(self.history_factor, self.carried_scale)

    @property
    def incurred(self) -> float | Tensor:
        """A: what a gradient is booked with when it arrives, at today's rates."""
        return _coefficient(self.incurred_factor, self.gradient_scale)

    @property
    def inventory(self) -> float | Tensor:
        """B: value of outstanding momentum at today's rates."""
        return _coefficient(self.inventory_factor, self.carried_scale)

    def entry_weights(self, vector: Tensor, kappa: float = 1.0) -> Tensor:
        """Weights w with <u_v, vector> = <gamma_v, w> for the entry u_v of every visit.

        The entry is u_v = -A s kappa gamma_v, so one elementwise product serves a whole batch.

        Args:
            vector: Shape of the parameter, such as the step's delta.
            kappa: Clip factor of this tensor, as ``TensorLines.kappa``.

        Returns:
            A new tensor of the parameter's shape.
        """
        factor = -self.incurred_factor * self.sign * kappa
        weighted = vector * factor
        return weighted if self.gradient_scale is None else weighted.mul_(self.gradient_scale)


def _coefficient(factor: float, scale: Tensor | None) -> float | Tensor:
    return factor if scale is None else scale * factor
