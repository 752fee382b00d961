"""The law of one realised update: how a parameter's change depends on its gradient.

For one parameter tensor and one step every supported optimizer is affine in the gradient that it
consumed, once second moments and learning rates are taken as they were:

    delta = C s g_used + C lambda theta + H m_before - omega theta          (cash basis)
          = -A (s g_used + lambda theta) + B (m_after - m_before) - omega theta   (accrual basis)
    m_after = retain m_before + intake (s g_used + lambda theta)

with s the sign (-1 under ``maximize``), theta the value before the step, lambda the coupled and
omega the decoupled decay. The second form follows from the first for any settings, constant or
scheduled, because C = B intake - A and H = B (retain - 1).

Optimizers that are not linear add a remainder N to both sides; those that multiply by a matrix M
have M g and M m in place of g and m.

Coefficients are kept as a float times an optional elementwise scale that several of them share:
what only differs by a number is then measured once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from gradledger.update.mixing import Mixing

__all__ = ["Realised", "direct_law"]


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
        scaled_intake: Whether ``intake`` is times ``gradient_scale``: a buffer of scaled gradients.
        remainder: Part of the change that is not linear in the gradient, shape of the parameter;
            None for 0.
        mixing: Matrix between the gradient and the change, applied to every gradient and momentum
            before any scale; None for the identity.
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
    scaled_intake: bool = False
    remainder: Tensor | None = None
    mixing: Mixing | None = None

    def __post_init__(self) -> None:
        """Refuse a law with both kinds of decay: its decay line would have two owners."""
        if self.coupled_decay and self.decoupled_decay:
            raise ValueError("a law has coupled or decoupled decay, not both")
        if self.coupled_decay and self.mixing is not None:
            raise ValueError("a law with a matrix has decoupled decay only")

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
        if self.gradient_scale is not None:
            weighted.mul_(self.gradient_scale)
        return weighted if self.mixing is None else self.mixing.transposed(weighted)

    def mixed(self, tensor: Tensor) -> Tensor:
        """Return a gradient or momentum as the elementwise part of the law sees it."""
        return tensor if self.mixing is None else self.mixing.apply(tensor)


def direct_law(
    settings: Mapping[str, float],
    *,
    rate: float,
    scale: Tensor,
    coupled: float = 0.0,
    decoupled: float = 0.0,
) -> Realised:
    """Return the law of an optimizer without momentum: every gradient acts at once.

    Args:
        settings: With ``lr`` and ``maximize``.
        rate: A without its scale.
        scale: Elementwise factor of A.
        coupled: lambda.
        decoupled: omega.
    """
    return Realised(
        sign=-1.0 if settings["maximize"] else 1.0,
        gradient_factor=-rate,
        history_factor=0.0,
        incurred_factor=rate,
        inventory_factor=0.0,
        gradient_scale=scale,
        carried_scale=None,
        momentum_before=None,
        momentum_after=None,
        retain=1.0,
        intake=0.0,
        coupled_decay=coupled,
        decoupled_decay=decoupled,
        cash_factor=1.0,
        learning_rate=settings["lr"],
    )


def _coefficient(factor: float, scale: Tensor | None) -> float | Tensor:
    return factor if scale is None else scale * factor
