"""Books of one parameter group: tensors measured one by one, the gap judged as cheaply as may be.

The bar of the capture gap is a share of the visits' norms under the update rate. Where that rate
differs by element, those norms take a pass over every gradient, and hardly any gap is near its bar.
The norm of the visits' sum is known anyway and is smaller than the sum of their norms, so what the
gap is against it is a bound on the ratio that the bar is for. Only where that bound comes near the
bar are the norms measured: a ratio that is booked is then either exact or far below its bar.

Shape legend: V visits of the step over all micro-batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from gradledger.recorder.gap_noise import with_gap_noise
from gradledger.recorder.tracked import Tracked
from gradledger.recorder.visits import TensorVisits
from gradledger.update import (
    GroupLines,
    Realised,
    Scratch,
    TensorLines,
    entry_weights_of_change,
    measure_untouched,
)
from gradledger.update import measure as measure_lines

if TYPE_CHECKING:
    from gradledger.recorder.booking import Booker


#: A bound on the gap is let stand where it is below the bar by this factor.
_FAR: Final = 20.0


@dataclass(frozen=True)
class GroupBooks:
    """What was booked of one group.

    Attributes:
        lines: The lines of all its tensors.
        visit_norms: Sum over visits of |C kappa gamma_v|; None where it was not measured, and the
            gap is far below its bar even against the norm of their sum.
        align: Alignment of every visit, V.
        gnorm: Squared gradient norm of every visit, V.
        unorm: Squared norm of every visit's entry, V; None where it was not measured.
    """

    lines: GroupLines
    visit_norms: float | None
    align: NDArray[np.float64]
    gnorm: NDArray[np.float64]
    unorm: NDArray[np.float64] | None


@dataclass(frozen=True)
class _Booked:
    """One tensor; ``scaled`` is None where norms under the update rate were not measured."""

    entry: Tracked
    lines: TensorLines
    align: NDArray[np.float64] | float = 0.0
    gnorm: NDArray[np.float64] | float = 0.0
    scaled: NDArray[np.float64] | float | None = 0.0
    cash_factor: float = 0.0

    @property
    def in_doubt(self) -> bool:
        """Whether the gap of the tensor may be near its bar, as far as it is known."""
        lines = GroupLines()
        lines.add(self.lines)
        return self.scaled is None and _is_near(lines)


def book_group(
    booker: Booker,
    entries: Sequence[Tracked],
    sizes: Sequence[int],
    *,
    scaled: bool,
) -> GroupBooks:
    """Book the tensors of one group.

    Args:
        booker: Knows the optimizer's law and what was captured.
        entries: The tensors.
        sizes: Visits of each micro-batch.
        scaled: Whether norms under the update rate are recorded whatever they cost.
    """
    scratch = Scratch()
    booked = [_book(booker, entry, sizes, scratch, scaled=scaled) for entry in entries]
    booked = [_with_norms(booker, one, sizes) if one.in_doubt else one for one in booked]
    lines = _added(booked)
    if any(one.scaled is None for one in booked) and _is_near(lines):
        booked = [_with_norms(booker, one, sizes) for one in booked]
        lines = _added(booked)
    num_visits = sum(sizes)
    align, gnorm, cash, unorm = (np.zeros(num_visits) for _ in range(4))
    complete = True
    for one in booked:
        align += one.align
        gnorm += one.gnorm
        if one.scaled is None:
            complete = False
            continue
        squares = one.lines.kappa**2 * one.scaled
        unorm += squares
        cash += one.cash_factor**2 * squares
    visit_norms = float(np.sqrt(cash).sum()) if complete else None
    return GroupBooks(lines, visit_norms, align, gnorm, unorm if complete else None)


def _is_near(lines: GroupLines) -> bool:
    """Whether the gap against the norm of the visits' sum is near its bar, or no number."""
    return not lines.gap_ratio() * _FAR <= lines.tolerance


def _added(booked: Sequence[_Booked]) -> GroupLines:
    lines = GroupLines()
    for one in booked:
        lines.add(one.lines)
    return lines


def _book(
    booker: Booker, entry: Tracked, sizes: Sequence[int], scratch: Scratch, *, scaled: bool
) -> _Booked:
    """Measure the visits of one tensor and its lines."""
    realised, after = booker.realise(entry), entry.parameter.detach()
    if realised is None:
        return _Booked(entry, measure_untouched(entry.theta_before, after, scratch))
    visits = None
    if entry.captured:
        visits = _measure(booker, entry, sizes, realised, scaled=scaled)
    lines = measure_lines(
        realised,
        entry.account,
        theta_before=entry.theta_before,
        theta_after=after,
        g_raw=entry.raw,
        g_used=booker.gradient(entry),
        captured=None if visits is None else visits.total,
        scratch=scratch,
    )
    if visits is None:
        return _Booked(entry, lines)
    return _of_visits(booker, entry, lines, realised, visits)


def _with_norms(booker: Booker, booked: _Booked, sizes: Sequence[int]) -> _Booked:
    """Measure the visits of a tensor again, now with their norms under the update rate."""
    realised = booker.realise(booked.entry)
    if realised is None or booked.scaled is not None:
        return booked
    visits = _measure(booker, booked.entry, sizes, realised, scaled=True)
    again = _of_visits(booker, booked.entry, booked.lines, realised, visits)
    return replace(booked, lines=again.lines, scaled=again.scaled)


def _measure(
    booker: Booker, entry: Tracked, sizes: Sequence[int], realised: Realised, *, scaled: bool
) -> TensorVisits:
    """Measure the visits of one tensor against its change."""
    weights = entry_weights_of_change(realised, entry.parameter.detach(), entry.theta_before)
    return booker.measure(entry, sizes, realised, weights, scaled=scaled)


def _of_visits(
    booker: Booker,
    entry: Tracked,
    lines: TensorLines,
    realised: Realised,
    visits: TensorVisits,
) -> _Booked:
    """Join lines and visits; where the norms are known, a gap above its bar is looked into."""
    if visits.scaled is not None:
        cash_squares = (realised.cash_factor * lines.kappa) ** 2 * visits.scaled
        lines = with_gap_noise(lines, entry, booker.capture, realised, visits, cash_squares)
    return _Booked(
        entry,
        lines,
        lines.kappa * visits.dots[0],
        visits.squared,
        visits.scaled,
        realised.cash_factor,
    )
