"""The lines of the books: names, in the order in which they are shown.

Cash lines add up to the delta of one step; accrual lines re-arrange the same delta so that
momentum has owners. Each line is booked per step and parameter group as two numbers: its norm
and its inner product with the delta.
"""

from __future__ import annotations

from typing import Final

CASH_LINES: Final[tuple[str, ...]] = (
    "contributions",  # C kappa sum(gamma_v): this step's visits
    "gap",  # C kappa (g_raw - sum(gamma_v) - G_U): what capture missed
    "unattributed",  # C kappa G_U: parameters without capture
    "edits",  # C (g_used - kappa g_raw): clipping by value, noise, hooks
    "history",  # momentum carried from earlier gradients
    "history_decay",  # momentum carried from earlier coupled decay
    "decay",  # weight decay of this step, decoupled or coupled
    "remainder",  # N: what of the optimizer is not linear in the gradient
    "rounding",  # rounding of the parameter write, at most 2 ulp
    "residual",  # what nothing explains
)

ACCRUAL_LINES: Final[tuple[str, ...]] = (
    "accrued_contributions",  # -A kappa sum(gamma_v): entries of this step's visits
    "accrued_gap",
    "accrued_unattributed",
    "accrued_edits",
    "accrued_coupled_decay",  # -A lambda theta, coupled decay only
    "inventory",  # B_t m_t - B_{t-1} m_{t-1}
    "revaluation",  # -(B_t - B_{t-1}) m_{t-1}
    "decoupled_decay",  # W of AdamW and kin
    "accrual_remainder",
    "accrual_rounding",
    "accrual_residual",
)

#: Lines of the frozen-curvature adjoint: realised future, no inventory. e is the adjoint of the
#: effective gradient, Q that of the parameters, both along the displacement of an interval.
FROZEN_LINES: Final[tuple[str, ...]] = (
    "frozen_contributions",  # kappa <e, sum(gamma_v)> over all steps
    "frozen_gap",
    "frozen_unattributed",
    "frozen_edits",
    "frozen_decay",  # <Q_a - q, theta_a>: decay of what was there before the interval
    "frozen_opening",  # momentum that was there before the interval
    "frozen_remainder",
    "frozen_rounding",
    "frozen_residual",
)

#: Verdict on one step and group. ``unchanged``: the delta is zero, shares are null.
VERDICT_NAMES: Final[tuple[str, ...]] = (
    "balanced",
    "not testable at this precision",
    "unbalanced",
    "unchanged",
    "not finite",
)
