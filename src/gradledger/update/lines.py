"""The lines of one tensor at one step: squared norms and inner products with its delta."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, fields
from typing import Final

import torch
from torch import Tensor

from gradledger.schema import ACCRUAL_LINES, CASH_LINES
from gradledger.update.account import Account
from gradledger.update.bits import same_bits
from gradledger.update.compiled import compiled_comparison, compiled_sums
from gradledger.update.gap import GapNoise
from gradledger.update.passes import Part, Scratch, in_range, measure_part, pieces
from gradledger.update.precision import precision_of
from gradledger.update.realised import Realised

__all__ = ["TensorLines", "clip_factor", "measure", "measure_untouched"]

_STILL: Final = Realised(
    1.0, 0.0, 0.0, 0.0, 0.0, None, None, None, None, 1.0, 0.0, 0.0, 0.0, 1.0, math.nan
)


@dataclass(frozen=True, slots=True)
class TensorLines:
    """Books of one parameter tensor at one step.

    Attributes:
        dtype: Format of the parameter.
        num_elements: Elements of the parameter.
        kappa: Clip factor between accumulated and consumed gradient.
        learning_rate: As the optimizer used it; NaN where it did not touch the tensor.
        cash_factor: Cash alignment = cash_factor times accrual alignment.
        delta_square: Squared norm of the change.
        two_ulp_square: Sum of (2 ulp(theta))^2.
        raw_square: Squared norm of the accumulated gradient.
        used_raw: Inner product of the consumed and the accumulated gradient.
        squares: Squared norm by line, cash and accrual.
        dots: Inner product with the change by line.
        gap_noise: The gap against rounding; None where it is within its bar.
    """

    dtype: torch.dtype
    num_elements: int
    kappa: float
    learning_rate: float
    cash_factor: float
    delta_square: float
    two_ulp_square: float
    raw_square: float
    used_raw: float
    squares: dict[str, float]
    dots: dict[str, float]
    gap_noise: GapNoise | None = None


@torch.no_grad()
def clip_factor(g_used: Tensor, g_raw: Tensor) -> tuple[float, float, float]:
    """Recover the factor that clipping and loss scaling really applied to one tensor.

    Args:
        g_used: Gradient that the optimizer consumed.
        g_raw: Gradient that autograd accumulated, same shape.

    Returns:
        kappa = <used, raw> / <raw, raw> (1.0 where raw is zero), <used, raw>, <raw, raw>.
    """
    kappa, cross, square, _ = _clip_factor(g_used, g_raw)
    return kappa, cross, square


@torch.no_grad()
def measure(
    realised: Realised,
    account: Account,
    *,
    theta_before: Tensor,
    theta_after: Tensor,
    g_raw: Tensor,
    g_used: Tensor,
    captured: Tensor | None = None,
    scratch: Scratch | None = None,
) -> TensorLines:
    """Book one tensor at one step, and carry its accounts over the step.

    Call it exactly once per tensor and step that ``Family.after`` gave a law for.

    Args:
        realised: The law of the step.
        account: Accounts of this tensor; advanced in place.
        theta_before: Parameter before the step.
        theta_after: Parameter after the step, same shape and format.
        g_raw: Gradient that autograd accumulated. Where nothing stood between them it may be the
            memory of ``g_used`` itself, which saves two passes.
        g_used: Gradient that the optimizer consumed: ``Before.gradient``.
        captured: Sum of gamma_v over the visits; None where the tensor has no capture.
        scratch: Working memory to reuse between calls.

    Raises:
        UpdateError: U103 for a format that cannot be booked.

    Source: lines as named by ``gradledger.schema.CASH_LINES`` and ``ACCRUAL_LINES``.
    """
    kappa, cross, square, same = _clip_factor(g_used, g_raw)
    account.prepare(realised, theta_before)
    raw = _mixed(g_raw, realised)
    whole = Part(
        before=_flat(theta_before),
        after=_flat(theta_after),
        raw=raw,
        # One object where nothing stands between them: that is how edits are skipped.
        used=raw if same else _mixed(g_used, realised),
        captured=None if captured is None else _mixed(captured, realised),
        momentum_before=_mixed_or_none(realised.momentum_before, realised),
        momentum_after=_mixed_or_none(realised.momentum_after, realised),
        gradient_scale=_flat_or_none(realised.gradient_scale),
        carried_scale=_flat_or_none(realised.carried_scale),
        inventory=_flat_or_none(account.inventory),
        decay_momentum=_flat_or_none(account.decay_momentum),
        remainder=_flat_or_none(realised.remainder),
    )
    sums = _sums(whole, realised, kappa, scratch or Scratch())
    factors = _factors(realised, kappa, captured=captured is not None)
    return TensorLines(
        dtype=theta_before.dtype,
        num_elements=theta_before.numel(),
        kappa=kappa,
        learning_rate=realised.learning_rate,
        cash_factor=realised.cash_factor,
        delta_square=sums["delta"][0],
        two_ulp_square=sums["two_ulp"][0],
        raw_square=square,
        used_raw=cross,
        squares={line: f * f * sums[slot][0] for line, (slot, f) in factors.items()},
        dots={line: f * sums[slot][1] for line, (slot, f) in factors.items()},
    )


def measure_untouched(
    theta_before: Tensor, theta_after: Tensor, scratch: Scratch | None = None
) -> TensorLines:
    """Book a tensor that the optimizer left alone: any change of it is residual."""
    nothing = torch.zeros_like(theta_before)
    return measure(
        _STILL,
        Account(),
        theta_before=theta_before,
        theta_after=theta_after,
        g_raw=nothing,
        g_used=nothing,
        scratch=scratch,
    )


def _factors(law: Realised, kappa: float, *, captured: bool) -> dict[str, tuple[str, float]]:
    """Direction and factor of every line; lines that are zero have factor 0."""
    cash = law.gradient_factor * law.sign
    accrued = -law.incurred_factor * law.sign
    visits, loose = (1.0, 0.0) if captured else (0.0, 1.0)
    coupled = law.coupled_decay
    table = {
        "contributions": ("gradient", visits * cash * kappa),
        "gap": ("gap", visits * cash * kappa),
        "unattributed": ("gradient", loose * cash * kappa),
        "edits": ("edits", cash),
        "history": ("history", law.history_factor),
        "history_decay": ("history_decay", law.history_factor),
        "decay": ("decay", law.gradient_factor * coupled - law.decoupled_decay),
        "remainder": ("remainder", 1.0),
        "rounding": ("rounding", 1.0),
        "residual": ("residual", 1.0),
        "accrued_contributions": ("gradient", visits * accrued * kappa),
        "accrued_gap": ("gap", visits * accrued * kappa),
        "accrued_unattributed": ("gradient", loose * accrued * kappa),
        "accrued_edits": ("edits", accrued),
        "accrued_coupled_decay": ("decay", -law.incurred_factor * coupled),
        "inventory": ("inventory", 1.0),
        "revaluation": ("revaluation", 1.0),
        "decoupled_decay": ("decay", -law.decoupled_decay),
        "accrual_remainder": ("remainder", 1.0),
        "accrual_rounding": ("accrual_rounding", 1.0),
        "accrual_residual": ("accrual_residual", 1.0),
    }
    return {line: table[line] for line in (*CASH_LINES, *ACCRUAL_LINES)}


def _same(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are the same elements of the same memory."""
    layouts = [(x.data_ptr(), x.shape, x.stride(), x.dtype, x.device) for x in (first, second)]
    return first is second or layouts[0] == layouts[1]


def _flat(tensor: Tensor) -> Tensor:
    """View a tensor as one axis; copies only layouts that are not contiguous."""
    return tensor.detach().reshape(-1)


def _flat_or_none(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else _flat(tensor)


def _mixed(tensor: Tensor, law: Realised) -> Tensor:
    return _flat(law.mixed(tensor.detach()))


def _mixed_or_none(tensor: Tensor | None, law: Realised) -> Tensor | None:
    return None if tensor is None else _mixed(tensor, law)


def _sums(
    whole: Part, law: Realised, kappa: float, scratch: Scratch
) -> dict[str, tuple[float, float]]:
    """Add up the tallies of all chunks: squared norm and inner product by slot."""
    length = whole.before.numel()
    compute = precision_of(whole.before.dtype).compute
    if (sums := compiled_sums(whole, law, kappa)) is not None:
        return sums
    total: Tensor | None = None
    slots: tuple[str, ...] = ()
    for piece in pieces(length, whole.before.device):
        stored = (whole.before[piece], whole.after[piece])
        tally = measure_part(_part(whole, piece, compute), stored, law, kappa, scratch)
        if tally is None:
            wide = _part(whole, piece, torch.float64)
            tally = measure_part(wide, stored, law, kappa, scratch)
            _write_back(whole, wide, piece)
        if tally is not None:
            slots = tally.slots
            total = tally.values if total is None else total.add_(tally.values)
    values = [] if total is None else total.tolist()
    found = {slot: (square, dot) for slot, (square, dot) in zip(slots, values, strict=True)}
    return defaultdict(lambda: (0.0, 0.0), found)


def _part(whole: Part, piece: slice, dtype: torch.dtype) -> Part:
    """Cut one chunk out of the flat inputs, converted only where the format differs."""
    cut: dict[str, Tensor | None] = {}
    for field in fields(Part):
        tensor: Tensor | None = getattr(whole, field.name)
        cut[field.name] = None if tensor is None else tensor[piece].to(dtype)
    if whole.used is whole.raw:
        cut["used"] = cut["raw"]
    return Part(**cut)  # type: ignore[arg-type]


def _write_back(whole: Part, part: Part, piece: slice) -> None:
    """Carry accounts that were advanced in a wider format."""
    for held, carried in (
        (whole.inventory, part.inventory),
        (whole.decay_momentum, part.decay_momentum),
    ):
        if held is not None and carried is not None:
            held[piece].copy_(carried)


def _clip_factor(g_used: Tensor, g_raw: Tensor) -> tuple[float, float, float, bool]:
    """Return the clip factor with its sums, and whether both gradients hold the same bits."""
    alias = _same(g_used, g_raw)
    raw = _flat(g_raw)
    used = raw if alias else _flat(g_used)
    found = compiled_comparison(used, raw)
    if found is None:
        cross, square = _products(used, raw)
    else:
        cross, square, alias = found[0], found[1], alias or found[2]
    kappa = 1.0 if alias or square == 0.0 else cross / square
    same = alias or (found is None and kappa == 1.0 and same_bits(g_used, g_raw))
    return kappa, cross, square, same


def _products(used: Tensor, raw: Tensor) -> tuple[float, float]:
    """Return <used, raw> and <raw, raw>, chunk by chunk, added up in float64."""
    dtype = precision_of(raw.dtype).compute
    cross = square = 0.0
    for span in pieces(raw.numel(), raw.device):
        piece, other = raw[span].to(dtype), used[span].to(dtype)
        term = float(torch.dot(piece, piece).item())
        if not in_range(term, piece):
            piece, other = piece.double(), other.double()
            term = float(torch.dot(piece, piece).item())
        square += term
        cross += term if used is raw else float(torch.dot(other, piece).item())
    return cross, square
