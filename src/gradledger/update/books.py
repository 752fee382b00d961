"""Books of one parameter group at one step: tensors added up, ratios, verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from gradledger.schema import ACCRUAL_LINES, CASH_LINES
from gradledger.update.lines import TensorLines
from gradledger.update.precision import TESTABLE, precision_of

__all__ = ["GroupLines", "worst_verdict"]

_LINES: Final = (*CASH_LINES, *ACCRUAL_LINES)

# Worst first: what a step's verdict is over its groups.
_SEVERITY: Final = (
    "not finite",
    "unbalanced",
    "not testable at this precision",
    "balanced",
    "unchanged",
)


def worst_verdict(verdicts: Iterable[str]) -> str:
    """Return the worst of several verdicts; ``unchanged`` where there is none."""
    return min(verdicts, key=_SEVERITY.index, default="unchanged")


class GroupLines:
    """Accumulator over the tensors of one parameter group at one step.

    All sums are float64. Norms are Euclidean over all elements of the group.
    """

    def __init__(self) -> None:
        self.squares = dict.fromkeys(_LINES, 0.0)
        self.dots = dict.fromkeys(_LINES, 0.0)
        self.delta_square = 0.0
        self.two_ulp_square = 0.0
        self.tolerance = 0.0
        self.num_tensors = 0
        self.gap_bound_square = 0.0
        self.gap_excess_square = 0.0
        self.gap_parted = False
        self._raw_square = 0.0
        self._used_raw = 0.0
        self._rates: set[float] = set()
        self._cash_factors: set[float] = set()

    def add(self, lines: TensorLines) -> None:
        """Add one tensor. The bar of a group in several formats is that of its coarsest."""
        for line in _LINES:
            self.squares[line] += lines.squares[line]
            self.dots[line] += lines.dots[line]
        self.delta_square += lines.delta_square
        self.two_ulp_square += lines.two_ulp_square
        self.tolerance = max(self.tolerance, precision_of(lines.dtype).tolerance)
        self.num_tensors += 1
        parted = lines.gap_noise
        self.gap_parted |= parted is not None
        self.gap_bound_square += parted.bound_square if parted else 0.0
        self.gap_excess_square += parted.excess_square if parted else lines.squares["gap"]
        self._raw_square += lines.raw_square
        self._used_raw += lines.used_raw
        if not math.isnan(lines.learning_rate):
            self._rates.add(lines.learning_rate)
            self._cash_factors.add(lines.cash_factor)

    def norm(self, line: str) -> float:
        """Norm of one line over the group."""
        return math.sqrt(self.squares[line])

    @property
    def delta_norm(self) -> float:
        """Norm of the group's change."""
        return math.sqrt(self.delta_square)

    @property
    def clip(self) -> float:
        """Clip factor of the group: <used, raw> / <raw, raw> over all its tensors."""
        return self._used_raw / self._raw_square if self._raw_square else 1.0

    @property
    def residual_ratio(self) -> float:
        """Norm of the residual over the sum of the norms of all cash lines; 0 where all are 0."""
        return self._share("residual", CASH_LINES)

    @property
    def accrual_residual_ratio(self) -> float:
        """The same on accrual basis."""
        return self._share("accrual_residual", ACCRUAL_LINES)

    def gap_ratio(self, visit_norms: float | None = None) -> float:
        """Norm of the capture gap over ``visit_norms``.

        Args:
            visit_norms: Sum over visits of |C kappa gamma_v|. None: the norm of their sum, which
                is smaller, so the bar is then the stricter one.

        Returns:
            0 where there is no gap; infinity where there is one and no visit.
        """
        return self._over_visits(self.norm("gap"), visit_norms)

    def gap_excess_ratio(self, visit_norms: float | None = None) -> float:
        """Norm of what of the gap is beyond rounding noise, over ``visit_norms``.

        Tensors whose gap is within its bar count with their whole gap.
        """
        return self._over_visits(math.sqrt(self.gap_excess_square), visit_norms)

    def gap_noise_ratio(self, visit_norms: float | None = None) -> float:
        """Norm of the bound on rounding noise, of tensors above the bar, over ``visit_norms``."""
        return self._over_visits(math.sqrt(self.gap_bound_square), visit_norms)

    def verdict(self, visit_norms: float | None = None) -> str:
        """Judge the step: one of ``gradledger.schema.VERDICT_NAMES``.

        Unbalanced outranks the mild verdicts: an update that was undone after the step has no
        delta, and what exceeds 2 ulp is no rounding at any precision. Both bases must balance. A
        gap above the bar is unbalanced by what exceeds the rounding of the gradient's sum; where
        nothing much does, the gradient is noise and the step cannot be tested.
        """
        gap, excess = self.gap_ratio(visit_norms), self.gap_excess_ratio(visit_norms)
        ratios = (self.residual_ratio, self.accrual_residual_ratio, min(gap, excess))
        sums = (self.delta_square, *self.squares.values(), *self.dots.values())
        if not all(math.isfinite(value) for value in sums):
            return "not finite"
        if any(ratio > self.tolerance for ratio in ratios):
            return "unbalanced"
        if self.delta_square == 0.0:
            return "unchanged"
        coarse = math.sqrt(self.two_ulp_square) > TESTABLE * self.delta_norm
        if coarse or gap > self.tolerance:
            return "not testable at this precision"
        return "balanced"

    def row(
        self, *, step: int, group: int, visit_norms: float | None = None, routed: bool = False
    ) -> dict[str, object]:
        """Return the row of ``gradledger.schema.BOOKS``; what is not a finite number is null.

        ``learning_rate`` and ``cash_factor`` are null where tensors of the group differ in them.
        """
        moved = self.delta_square > 0.0
        numbers: dict[str, float | None] = {
            "delta_norm": self.delta_norm,
            "learning_rate": _single(self._rates),
            "clip": self.clip,
            "cash_factor": _single(self._cash_factors),
        }
        for line in _LINES:
            numbers[f"{line}_norm"] = self.norm(line)
            numbers[f"{line}_dot"] = self.dots[line]
        numbers |= {
            "visit_norms": visit_norms,
            "residual_ratio": self.residual_ratio,
            "gap_ratio": self.gap_ratio(visit_norms),
            "gap_noise_ratio": self.gap_noise_ratio(visit_norms) if self.gap_parted else None,
            "gap_excess_ratio": self.gap_excess_ratio(visit_norms) if self.gap_parted else None,
            "rounding_ratio": self.norm("rounding") / self.delta_norm if moved else None,
            "ulp_ratio": math.sqrt(self.two_ulp_square) / self.delta_norm if moved else None,
        }
        finite = {k: v if v is not None and math.isfinite(v) else None for k, v in numbers.items()}
        verdict = self.verdict(visit_norms)
        return {"step": step, "group": group, "routed": routed, **finite, "verdict": verdict}

    def _over_visits(self, norm: float, visit_norms: float | None) -> float:
        reference = self.norm("contributions") if visit_norms is None else visit_norms
        if norm == 0.0:
            return 0.0
        return norm / reference if reference else math.inf

    def _share(self, line: str, lines: tuple[str, ...]) -> float:
        norm = self.norm(line)
        return norm / sum(self.norm(other) for other in lines) if norm else 0.0


def _single(values: set[float]) -> float | None:
    return next(iter(values)) if len(values) == 1 else None
