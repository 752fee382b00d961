"""The passes over memory that measure one chunk of one tensor.

A chunk is small enough that all its rows stay in the second-level cache while some forty simple
operations run over it; only its inputs come from memory, once. Lines that are multiples of each
other are measured once: a row holds a *direction*, its factor is applied to the sums.

Sums of squares and inner products are taken in the format of the chunk and added up over chunks
in float64, which keeps float32 to about 1e-7 of the norms' product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gradledger.update.precision import two_ulp
from gradledger.update.realised import Realised

__all__ = ["CHUNK", "Part", "Scratch", "Tally", "in_range", "measure_part", "pieces"]

#: Elements per chunk on the CPU: 512 KiB a row in float32.
CHUNK: Final = 131072

_NUM_ROWS: Final = 6

# Outside these bounds of the mean square, float32 squares under- or overflow.
_SMALLEST_MEAN_SQUARE: Final = 1e-30
_LARGEST_MEAN_SQUARE: Final = 1e30


@dataclass(slots=True)
class Part:
    """Flat pieces of equal length of everything that one tensor's books need.

    ``inventory`` and ``decay_momentum`` are written: they are carried over the step.
    """

    before: Tensor
    after: Tensor
    raw: Tensor
    used: Tensor
    captured: Tensor | None
    momentum_before: Tensor | None
    momentum_after: Tensor | None
    gradient_scale: Tensor | None
    carried_scale: Tensor | None
    inventory: Tensor | None
    decay_momentum: Tensor | None
    remainder: Tensor | None


class Tally:
    """Squared norms of directions and their inner products with the delta.

    The slots are ``delta``, ``gradient`` (the sum of visits where captured, else what autograd
    accumulated), ``gap``, ``edits``, ``history``, ``history_decay``, ``decay``, ``inventory``,
    ``revaluation``, ``remainder``, ``rounding``, ``residual``, ``accrual_rounding``,
    ``accrual_residual``, and ``two_ulp``, which has a square only. What is zero throughout is not
    recorded.
    """

    def __init__(self) -> None:
        self._cells: dict[str, tuple[Tensor, Tensor]] = {}

    def record(self, slot: str, direction: Tensor, delta: Tensor) -> None:
        """Measure one direction."""
        self._cells[slot] = torch.dot(direction, direction), torch.dot(direction, delta)

    def record_square(self, slot: str, direction: Tensor) -> Tensor:
        """Measure the square of a direction only, and return it."""
        square = torch.dot(direction, direction)
        self._cells[slot] = square, square
        return square

    @property
    def slots(self) -> tuple[str, ...]:
        """What was recorded, in the order of ``values``."""
        return tuple(self._cells)

    @property
    def values(self) -> Tensor:
        """One row per slot, float64: squared norm, inner product."""
        cells = [cell for pair in self._cells.values() for cell in pair]
        return torch.stack(cells).double().view(-1, 2)


class Scratch:
    """Working memory, kept between tensors and steps: fresh pages cost more than arithmetic."""

    def __init__(self) -> None:
        self._rows: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def rows(self, dtype: torch.dtype, device: torch.device, length: int) -> list[Tensor]:
        """Return working rows of a length; their content is undefined."""
        held = self._rows.get((dtype, device))
        if held is None or held.shape[1] < length:
            held = torch.empty(_NUM_ROWS, length, dtype=dtype, device=device)
            self._rows[dtype, device] = held
        return [row[:length] for row in held.unbind()]


def measure_part(
    part: Part, stored: tuple[Tensor, Tensor], law: Realised, kappa: float, scratch: Scratch
) -> Tally | None:
    """Measure every direction of one chunk and carry its accounts.

    Args:
        part: Inputs in the compute format.
        stored: The parameter before and after in its own format, for its ulp.
        law: The realised law; only its numbers are read here.
        kappa: Clip factor of the whole tensor.
        scratch: Working memory.

    Returns:
        The tally of this chunk; None, with no account touched, where squares of its change leave
        the range of the compute format: try again in float64.
    """
    rows = scratch.rows(part.before.dtype, part.before.device, part.before.numel())
    delta, cash, accrual, work, limit, lower = rows
    tally = Tally()
    torch.sub(part.after, part.before, out=delta)
    square = float(tally.record_square("delta", delta).item())
    if not in_range(square, delta):
        return None
    # What is left of the delta after each line, on both bases.
    factor = law.sign * law.gradient_factor
    _less(delta, factor, part.gradient_scale, part.used, cash)
    _less(delta, -law.sign * law.incurred_factor, part.gradient_scale, part.used, accrual)
    _gradient(part, kappa, delta, work, tally)
    _decay(part, law, delta, (cash, accrual, work), tally)
    if part.remainder is not None:
        tally.record("remainder", part.remainder, delta)
        cash.sub_(part.remainder)
        accrual.sub_(part.remainder)
    _history(part, law, delta, (cash, work), tally)
    _inventory(part, law, delta, (accrual, work, limit), tally)
    two_ulp(*stored, out=limit, work=lower)
    tally.record_square("two_ulp", limit)
    torch.neg(limit, out=lower)
    for rest, prefix in ((cash, ""), (accrual, "accrual_")):
        rounding = torch.clamp(rest, min=lower, max=limit, out=work)
        tally.record(f"{prefix}rounding", rounding, delta)
        tally.record(f"{prefix}residual", rest.sub_(rounding), delta)
    if part.decay_momentum is not None:
        part.decay_momentum.mul_(law.retain)
        if law.coupled_decay:
            intake = _scaled(part.before, part.gradient_scale if law.scaled_intake else None, work)
            part.decay_momentum.add_(intake, alpha=law.intake * law.coupled_decay)
    return tally


def pieces(length: int, device: torch.device) -> Iterator[slice]:
    """Cut a length into chunks: for the cache on a CPU, in one piece elsewhere."""
    chunk = CHUNK if device.type == "cpu" else max(length, 1)
    return (slice(start, start + chunk) for start in range(0, length, chunk))


def in_range(square: float, vector: Tensor) -> bool:
    """Whether a sum of squares can be trusted in the format in which it was taken."""
    if vector.dtype is torch.float64:
        return True
    mean = square / max(vector.numel(), 1)
    if _SMALLEST_MEAN_SQUARE < mean < _LARGEST_MEAN_SQUARE:
        return True
    # Exact zeros are common (rows that a batch does not use) and need no second look.
    return mean == 0.0 and float(torch.linalg.vector_norm(vector, ord=math.inf).item()) == 0.0


def _less(rest: Tensor, factor: float, scale: Tensor | None, x: Tensor, out: Tensor) -> Tensor:
    """Write rest - factor scale x."""
    if scale is None:
        return torch.add(rest, x, alpha=-factor, out=out)
    return torch.addcmul(rest, scale, x, value=-factor, out=out)


def _scaled(x: Tensor, scale: Tensor | None, out: Tensor) -> Tensor:
    """Return scale x, in ``out`` only where there is work to do."""
    return x if scale is None else torch.mul(x, scale, out=out)


def _gradient(part: Part, kappa: float, delta: Tensor, work: Tensor, tally: Tally) -> None:
    """Measure what the gradient is made of: visits, capture gap, edits."""
    scale = part.gradient_scale
    if part.captured is None:
        tally.record("gradient", _scaled(part.raw, scale, work), delta)
    else:
        tally.record("gradient", _scaled(part.captured, scale, work), delta)
        gap = torch.sub(part.raw, part.captured, out=work)
        tally.record("gap", _scaled(gap, scale, work), delta)
    if part.used is not part.raw:
        edits = torch.add(part.used, part.raw, alpha=-kappa, out=work)
        tally.record("edits", _scaled(edits, scale, work), delta)


def _decay(
    part: Part, law: Realised, delta: Tensor, rows: tuple[Tensor, Tensor, Tensor], tally: Tally
) -> None:
    """Measure weight decay of either kind and take it from what is left."""
    cash, accrual, work = rows
    if law.coupled_decay:
        scale = part.gradient_scale
        tally.record("decay", _scaled(part.before, scale, work), delta)
        _less(cash, law.gradient_factor * law.coupled_decay, scale, part.before, cash)
        _less(accrual, -law.incurred_factor * law.coupled_decay, scale, part.before, accrual)
    elif law.decoupled_decay:
        tally.record("decay", part.before, delta)
        cash.add_(part.before, alpha=law.decoupled_decay)
        accrual.add_(part.before, alpha=law.decoupled_decay)


def _history(
    part: Part, law: Realised, delta: Tensor, rows: tuple[Tensor, Tensor], tally: Tally
) -> None:
    """Measure momentum carried into the step, parted into gradients and coupled decay."""
    cash, work = rows
    carried, scale = part.momentum_before, part.carried_scale
    if carried is None or not law.history_factor:
        return
    _less(cash, law.history_factor, scale, carried, cash)
    if part.decay_momentum is not None:
        tally.record("history_decay", _scaled(part.decay_momentum, scale, work), delta)
        carried = torch.sub(carried, part.decay_momentum, out=work)
    tally.record("history", _scaled(carried, scale, work), delta)


def _inventory(
    part: Part, law: Realised, delta: Tensor, rows: tuple[Tensor, Tensor, Tensor], tally: Tally
) -> None:
    """Measure the change of inventory and its revaluation, and carry the inventory."""
    accrual, work, value = rows
    held = part.inventory
    if held is None:
        return
    after, scale = part.momentum_after, part.carried_scale
    if after is None or not law.inventory_factor:
        value.zero_()
    elif scale is None:
        torch.mul(after, law.inventory_factor, out=value)
    else:
        torch.mul(after, scale, out=value).mul_(law.inventory_factor)
    change = torch.sub(value, held, out=work)
    tally.record("inventory", change, delta)
    accrual.sub_(change)
    revalued = held
    if part.momentum_before is not None:
        revalued = _less(held, law.inventory_factor, scale, part.momentum_before, work)
    tally.record("revaluation", revalued, delta)
    accrual.sub_(revalued)
    held.copy_(value)
