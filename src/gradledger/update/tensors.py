"""The lines of one tensor written out as tensors, one after the other.

Slow and plain on purpose: replays that need a line's inner product with some other vector take it
from here, and the fast passes of ``measure`` are tested against it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradledger.schema import ACCRUAL_LINES, CASH_LINES
from gradledger.update.account import Account
from gradledger.update.lines import clip_factor
from gradledger.update.precision import precision_of, two_ulp
from gradledger.update.realised import Realised

__all__ = ["line_tensors"]


@torch.no_grad()
def line_tensors(
    realised: Realised,
    account: Account,
    *,
    theta_before: Tensor,
    theta_after: Tensor,
    g_raw: Tensor,
    g_used: Tensor,
    captured: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return every cash and accrual line of one tensor and step.

    The account is read, not carried: call ``account.advance`` afterwards.

    Args:
        realised: The law of the step.
        account: Accounts as they stood before the step.
        theta_before: Parameter before the step.
        theta_after: Parameter after the step.
        g_raw: Gradient that autograd accumulated.
        g_used: Gradient that the optimizer consumed.
        captured: Sum of gamma_v over the visits; None where the tensor has no capture.

    Returns:
        Line name to tensor of the parameter's shape, in the format in which lines are computed;
        the cash lines add up to the change, and so do the accrual lines.
    """
    compute = precision_of(theta_before.dtype).compute
    kappa, _, _ = clip_factor(g_used, g_raw)
    theta, raw, used = (x.detach().to(compute) for x in (theta_before, g_raw, g_used))
    zero = torch.zeros_like(theta)
    delta = theta_after.detach().to(compute) - theta
    sign = realised.sign
    parts = {"contributions": zero, "gap": zero, "unattributed": sign * kappa * raw}
    if captured is not None:
        visits = captured.to(compute)
        parts["contributions"] = sign * kappa * visits
        parts["gap"] = sign * kappa * (raw - visits)
        parts["unattributed"] = zero
    parts["edits"] = sign * (used - kappa * raw)
    parts = {name: realised.mixed(part) for name, part in parts.items()}
    coupled = realised.coupled_decay * theta
    lines = {name: realised.gradient * part for name, part in parts.items()}
    lines |= {f"accrued_{name}": -realised.incurred * part for name, part in parts.items()}
    lines["decoupled_decay"] = -realised.decoupled_decay * theta
    lines["decay"] = realised.gradient * coupled + lines["decoupled_decay"]
    lines["accrued_coupled_decay"] = -realised.incurred * coupled
    remainder = zero if realised.remainder is None else realised.remainder.to(compute)
    lines["remainder"] = lines["accrual_remainder"] = remainder
    _carried(realised, account, zero, lines)
    stored = [x.detach().reshape(-1) for x in (theta_before, theta_after)]
    rows = torch.empty(2, theta.numel(), dtype=compute, device=theta.device)
    limit = two_ulp(stored[0], stored[1], rows[0], rows[1]).view_as(zero)
    for names, prefix in ((CASH_LINES, ""), (ACCRUAL_LINES, "accrual_")):
        rest = delta - sum((lines[name] for name in names if name in lines), start=zero)
        lines[f"{prefix}rounding"] = torch.clamp(rest, min=-limit, max=limit)
        lines[f"{prefix}residual"] = rest - lines[f"{prefix}rounding"]
    return {name: lines[name] for name in (*CASH_LINES, *ACCRUAL_LINES)}


def _carried(law: Realised, account: Account, zero: Tensor, lines: dict[str, Tensor]) -> None:
    """Add the lines of momentum: history on cash basis, inventory on accrual basis."""
    before = zero if law.momentum_before is None else law.mixed(law.momentum_before.to(zero.dtype))
    after = zero if law.momentum_after is None else law.mixed(law.momentum_after.to(zero.dtype))
    held = zero if account.inventory is None else account.inventory
    decayed = zero if account.decay_momentum is None else account.decay_momentum
    if law.momentum_before is None:
        decayed = zero
    lines["history"] = law.history * (before - decayed)
    lines["history_decay"] = law.history * decayed
    lines["inventory"] = law.inventory * after - held
    lines["revaluation"] = held - law.inventory * before
