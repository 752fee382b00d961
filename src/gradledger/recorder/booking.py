"""Booking: join per-example gradients with the realised update, one parameter tensor at a time.

Before ``optimizer.step()`` we copy what it will overwrite; after it we read the realised law,
measure every visit's gradient against the delta, and add up the lines of the books.

Shape legend: V visits of the step over all micro-batches, G parameter groups, P elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim

from gradledger.errors import GradientError
from gradledger.gradient import Capture, Measured, measure
from gradledger.recorder.groups import Group
from gradledger.update import (
    Account,
    Before,
    Family,
    GroupLines,
    Realised,
    Scratch,
    clip_factor,
    measure_untouched,
)
from gradledger.update import measure as measure_lines


@dataclass
class Tracked:
    """One parameter tensor with everything that is remembered of it around a step.

    Attributes:
        parameter: The tensor.
        name: Its full name.
        captured: Whether its per-example gradients are measured.
        theta_before: Copy from before the step.
        raw: Copy of the gradient that autograd accumulated, before clipping.
        before: What the optimizer family copied; None where the optimizer skips the tensor.
        account: Inventory and decay accounts.
    """

    parameter: nn.Parameter
    name: str
    captured: bool
    theta_before: Tensor
    raw: Tensor
    account: Account
    before: Before | None = None
    has_raw: bool = False


@dataclass(frozen=True)
class StepBooks:
    """What one step booked.

    Attributes:
        rows: Rows of the books table.
        measures: ``align``, ``gnorm``, ``unorm``: one row per visit, one column per group.
    """

    rows: list[dict[str, Any]]
    measures: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class TensorVisits:
    """Measures of the visits on one tensor, depth weights included.

    Attributes:
        dots: Inner product of the booked gradient with each direction, K x V.
        squared: Squared norm of the booked gradient, V.
        scaled: Squared norm times the squared update rate, V.
        total: Sum of the booked gradients, shape of the tensor.
    """

    dots: NDArray[np.float64]
    squared: NDArray[np.float64]
    scaled: NDArray[np.float64]
    total: Tensor


class Booker:
    """Keeps the books of every parameter group across steps."""

    def __init__(
        self,
        groups: Sequence[Group],
        optimizer: optim.Optimizer,
        family: Family,
        capture: Capture,
        uncaptured: Iterable[str],
        measure_visits: bool = True,
    ) -> None:
        self._measure_visits = measure_visits
        left_out = set(uncaptured)
        self._optimizer, self._family, self.capture = optimizer, family, capture
        self._groups_of = {
            id(value): param_group
            for param_group in optimizer.param_groups
            for value in param_group["params"]
        }
        self.groups = groups
        self._scratch = Scratch()
        self.tracked: list[list[Tracked]] = [
            [
                Tracked(
                    parameter=value,
                    name=name,
                    captured=name not in left_out,
                    theta_before=torch.empty_like(value),
                    raw=torch.zeros_like(value, memory_format=torch.contiguous_format),
                    account=family.open_account(optimizer, value, self._groups_of[id(value)]),
                )
                for name, value in group.parameters.items()
            ]
            for group in groups
        ]
        self._keep_raw = measure_visits
        self._handles = [
            entry.parameter.register_post_accumulate_grad_hook(self._raw_copier(entry))
            for entries in self.tracked
            for entry in entries
        ]

    def detach(self) -> None:
        """Take the hooks off the parameters."""
        while self._handles:
            self._handles.pop().remove()

    def keep_raw_for(self, routed: bool) -> None:
        """Copy accumulated gradients in this step where the books or enforcement need them."""
        self._keep_raw = self._measure_visits or routed

    @torch.no_grad()
    def before_update(self, routed: frozenset[int], where: str) -> None:
        """Check the gradients, then copy what the optimizer is about to overwrite.

        Raises:
            GradientError: A gradient is not finite (G103), or reached a parameter outside its
                module (G105). Nothing has been changed yet.
        """
        entries = [entry for group in self.tracked for entry in group]
        self._check_finite(entries, where)
        for entry in entries:
            self._check_capture(entry, routed, where)
            entry.theta_before.copy_(entry.parameter)
            if not self._measure_visits:
                continue
            entry.before = self._family.before(
                self._optimizer,
                entry.parameter,
                self._groups_of[id(entry.parameter)],
                entry.before,
            )

    @torch.no_grad()
    def after_update(self, step: int, sizes: Sequence[int], routed: frozenset[int]) -> StepBooks:
        """Book the update that just happened.

        Args:
            step: Number of the step.
            sizes: Visits of each micro-batch.
            routed: ``id`` of every tensor that was routed in this step.
        """
        if not self._measure_visits:
            return StepBooks(self._delta_rows(step, routed), {})
        num_visits, num_groups = sum(sizes), len(self.groups)
        matrices = {
            name: np.zeros((num_visits, num_groups)) for name in ("align", "gnorm", "unorm")
        }
        rows = []
        for place, (group, entries) in enumerate(zip(self.groups, self.tracked, strict=True)):
            lines, cash_norms = GroupLines(), np.zeros(num_visits)
            for entry in entries:
                self._book_tensor(entry, sizes, lines, place, matrices, cash_norms)
            visit_norms = float(np.sqrt(cash_norms).sum())
            rows.append(
                lines.row(
                    step=step,
                    group=group.record.group,
                    visit_norms=visit_norms,
                    routed=any(id(entry.parameter) in routed for entry in entries),
                )
            )
        for name in ("gnorm", "unorm"):
            np.sqrt(matrices[name], out=matrices[name])
        return StepBooks(rows, {name: value.astype(np.float32) for name, value in matrices.items()})

    def _delta_rows(self, step: int, routed: frozenset[int]) -> list[dict[str, Any]]:
        """Book deltas alone, for the level ``decisions``."""
        tensors = [entry for entries in self.tracked for entry in entries]
        deltas = torch._foreach_sub(
            [entry.parameter for entry in tensors], [entry.theta_before for entry in tensors]
        )
        norms = iter(torch.stack(torch._foreach_norm(deltas)).double().tolist())
        rows = []
        for group, entries in zip(self.groups, self.tracked, strict=True):
            rates = {float(self._groups_of[id(entry.parameter)]["lr"]) for entry in entries}
            rows.append(
                {
                    "step": step,
                    "group": group.record.group,
                    "delta_norm": math.hypot(*(next(norms) for _ in entries)),
                    "learning_rate": rates.pop() if len(rates) == 1 else None,
                    "routed": any(id(entry.parameter) in routed for entry in entries),
                }
            )
        return rows

    def _book_tensor(
        self,
        entry: Tracked,
        sizes: Sequence[int],
        lines: GroupLines,
        place: int,
        matrices: dict[str, NDArray[np.float64]],
        cash_norms: NDArray[np.float64],
    ) -> None:
        """Add one tensor to the books of its group."""
        realised = self.realise(entry)
        if realised is None:
            theta_after = entry.parameter.detach()
            lines.add(measure_untouched(entry.theta_before, theta_after, self._scratch))
            return
        visits = None
        if entry.captured:
            delta = entry.parameter - entry.theta_before
            visits = self.measure_visits(entry, sizes, realised, realised.entry_weights(delta))
        tensor_lines = measure_lines(
            realised,
            entry.account,
            theta_before=entry.theta_before,
            theta_after=entry.parameter.detach(),
            g_raw=entry.raw,
            g_used=self.gradient(entry),
            captured=None if visits is None else visits.total,
            scratch=self._scratch,
        )
        lines.add(tensor_lines)
        if visits is not None:
            kappa = tensor_lines.kappa
            matrices["align"][:, place] += kappa * visits.dots[0]
            matrices["gnorm"][:, place] += visits.squared
            matrices["unorm"][:, place] += kappa**2 * visits.scaled
            cash_norms += (realised.cash_factor * kappa) ** 2 * visits.scaled

    def realise(self, entry: Tracked) -> Realised | None:
        """Return the realised law of a tensor after the step; None where it was skipped."""
        if entry.before is None:
            return None
        return self._family.after(entry.before, self._optimizer, entry.parameter)

    @staticmethod
    def gradient(entry: Tracked) -> Tensor:
        """Return the gradient that the optimizer consumed: some write to ``.grad`` as they go."""
        return torch.zeros_like(entry.raw) if entry.before is None else entry.before.gradient

    def clip_factor(self, entry: Tracked) -> float:
        """Return kappa of one tensor: consumed over accumulated gradient."""
        return clip_factor(self.gradient(entry), entry.raw)[0]

    def measure_visits(
        self, entry: Tracked, sizes: Sequence[int], realised: Realised, *directions: Tensor
    ) -> TensorVisits:
        """Measure every visit's booked gradient on one tensor.

        Rows that depth weights dropped stay exact zeros.
        """
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        stacked = torch.stack([direction.reshape(-1) for direction in directions])
        factor, scale = realised.incurred_factor, realised.gradient_scale
        dots = np.zeros((len(directions), offsets[-1]))
        squared, scaled = np.zeros(offsets[-1]), np.zeros(offsets[-1])
        total = torch.zeros_like(entry.raw).reshape(-1)
        by_micro_batch: dict[int, list[Any]] = {}
        for use in self.capture.uses(entry.parameter):
            by_micro_batch.setdefault(use.micro_batch, []).append(use)
        for number, uses in by_micro_batch.items():
            rows, forms = uses[0].rows, [use.form for use in uses]
            weights = uses[0].weights
            if weights is None:
                weights = stacked.new_ones(forms[0].num_rows)
            measured = measure(
                forms, weights, stacked, 1.0 if scale is None else scale.reshape(-1)
            )
            places = (
                np.arange(offsets[number], offsets[number + 1])
                if rows is None
                else offsets[number] + rows.cpu().numpy()
            )
            _scatter(measured, weights, places, dots, squared, scaled)
            total += measured.total
        return TensorVisits(dots, squared, scaled * factor**2, total.view_as(entry.raw))

    def clear(self) -> None:
        """Forget the gradients of the step."""
        self.capture.clear()
        for entries in self.tracked:
            for entry in entries:
                entry.has_raw = False

    def _raw_copier(self, entry: Tracked) -> Callable[[Tensor], None]:
        """Return a hook that copies the accumulated gradient before anything edits it."""

        def copy(parameter: Tensor) -> None:
            if self._keep_raw and parameter.grad is not None:
                entry.raw.copy_(parameter.grad)
                entry.has_raw = True

        return copy

    def _check_finite(self, entries: Sequence[Tracked], where: str) -> None:
        grads = [entry.parameter.grad for entry in entries if entry.parameter.grad is not None]
        if not grads or bool(torch.stack(torch._foreach_norm(grads)).isfinite().all()):
            return
        for entry in entries:
            grad = entry.parameter.grad
            if grad is not None and not bool(grad.isfinite().all()):
                count = int((~grad.isfinite()).sum())
                raise GradientError(
                    "G103",
                    observed=f"{count} of {grad.numel()} elements NaN or infinite in {entry.name}",
                    expected="finite gradients; the optimizer has not stepped",
                    where=where,
                    hint="look at the loss of this batch; leave the with block to skip the step",
                )

    def _check_capture(self, entry: Tracked, routed: frozenset[int], where: str) -> None:
        """A captured tensor must have had all its gradient through its own module."""
        if not entry.captured or entry.parameter.grad is None:
            return
        if id(entry.parameter) not in routed:
            return
        emitted = self.capture.emitted(entry.parameter)
        reference = entry.raw if entry.has_raw else torch.zeros_like(entry.raw)
        excess = reference if emitted is None else reference - emitted
        size = reference.norm() if emitted is None else torch.maximum(reference.norm(), emitted.norm())
        if float(excess.norm()) > 1e-5 * float(size):
            raise GradientError(
                "G105",
                observed=f"gradient on {entry.name} that the depth profile did not see "
                f"(norm {float(excess.norm()):.3g} of {float(size):.3g})",
                expected="every use of a limited tensor inside its own module",
                where=where,
                hint="leave the block of this tensor at weight 1, or use it through its module",
            )


def _scatter(
    measured: Measured,
    weights: Tensor,
    places: NDArray[np.int64],
    dots: NDArray[np.float64],
    squared: NDArray[np.float64],
    scaled: NDArray[np.float64],
) -> None:
    """Put measured rows at their visits, times their depth weights."""
    depth = weights.double().cpu().numpy()
    dots[:, places] = measured.dots.cpu().numpy() * depth
    squared[places] = measured.squared_norms.cpu().numpy() * depth**2
    scaled[places] = measured.scaled_squared_norms.cpu().numpy() * depth**2
