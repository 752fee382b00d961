"""Booking: join per-example gradients with the realised update, one parameter tensor at a time.

Before ``optimizer.step()`` we copy what it will overwrite; after it we read the realised law,
measure every visit's gradient against the delta, and add up the lines of the books.

Shape legend: V visits of the step over all micro-batches, G parameter groups, P elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim
from torch.utils.hooks import RemovableHandle

from gradledger.gradient import Capture
from gradledger.gradient.again import count_changes
from gradledger.recorder.attention import Attention
from gradledger.recorder.changes import (
    all_stand,
    change_norms,
    copy_and_fingerprint,
    copy_parameters,
    on_cpu,
)
from gradledger.recorder.checks import refuse_infinite, refuse_leak, refuse_unbooked
from gradledger.recorder.crew import work_together
from gradledger.recorder.group_books import GroupBooks, book_group
from gradledger.recorder.groups import Group
from gradledger.recorder.guards import refuse_sparse_gradient
from gradledger.recorder.scaling import overflowed
from gradledger.recorder.sketching import Sketcher
from gradledger.recorder.tracked import Tracked, param_groups_of, track
from gradledger.recorder.visits import TensorVisits, measure_visits
from gradledger.state.torch_state import Copies
from gradledger.update import Family, Realised, clip_factor


@dataclass(frozen=True)
class StepBooks:
    """What one step booked.

    Attributes:
        rows: Rows of the books table.
        measures: ``align``, ``gnorm``, and ``unorm`` where asked for: one row per visit, one
            column per group.
    """

    rows: list[dict[str, Any]]
    measures: dict[str, NDArray[np.float32]]


class Booker:
    """Keeps the books of every parameter group across steps."""

    def __init__(
        self,
        groups: Sequence[Group],
        optimizer: optim.Optimizer,
        family: Family,
        capture: Capture,
        uncaptured: Iterable[str],
        *,
        attention: Attention | None = None,
        update_norms: bool = False,
    ) -> None:
        self._attention = attention or Attention()
        self._measure_visits, self._update_norms = self._attention.visits, update_norms
        left_out = set(uncaptured)
        self._optimizer, self._family, self.capture = optimizer, family, capture
        self._groups_of = param_groups_of(optimizer)
        self.groups = groups
        self.tracked = [
            [
                track(optimizer, family, name, value, captured=name not in left_out)
                for name, value in group.parameters.items()
            ]
            for group in groups
        ]
        self._keep_raw = self._measure_visits
        self.last_rows: list[dict[str, Any]] = []  # Of the step that was booked last.
        self.sketcher: Sketcher | None = None
        self.loss_scale = 1.0  # Of this step; gradient norms are booked without it.
        self._held: Copies | None = None
        self._stood: list[int] | None = None
        self._handles: dict[int, RemovableHandle] = {}
        self.watch()

    def watch(self) -> None:
        """Put hooks on the parameters that are trained and have none; frozen ones take none."""
        if not self._attention.gradients:
            return
        for entry in (entry for entries in self.tracked for entry in entries):
            parameter = entry.parameter
            if parameter.requires_grad and id(parameter) not in self._handles:
                self._handles[id(parameter)] = parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    self._raw_copier(entry)
                )

    def detach(self) -> None:
        """Take the hooks off the parameters."""
        while self._handles:
            self._handles.popitem()[1].remove()

    def keep_raw_for(self, *, routed: bool) -> None:
        """Copy accumulated gradients in this step where the books or enforcement need them."""
        self._keep_raw = self._measure_visits or routed

    @torch.no_grad()
    def before_update(self, routed: frozenset[int], where: str) -> None:
        """Check the gradients, then copy what the optimizer is about to overwrite.

        Raises:
            GradientError: A gradient is not finite (G103), or reached a parameter outside its
                module (G105). Nothing has been changed yet.
            InputError: The optimizer would update a parameter that has no books (I109).
        """
        entries = [entry for group in self.tracked for entry in group]
        self._groups_of = param_groups_of(self._optimizer)
        refuse_unbooked(self._optimizer, entries, where)
        # A fused step knows of an overflow, and changes nothing.
        if self._attention.finite and not overflowed(self._optimizer):
            refuse_infinite(entries, where)
        if self._attention.deltas and not self._is_held(entries):
            copy_parameters(entries)
        for entry in entries:
            if id(entry.parameter) in routed:
                refuse_leak(entry, self.capture.emitted(entry.parameter), where)
            if self._keep_raw and not entry.has_raw:
                entry.raw.zero_()  # Gradients that are zeros, not None, and had no backward pass.
            if not (self._measure_visits or self._attention.laws):
                continue
            settings = self._groups_of.get(id(entry.parameter))  # None: has not joined yet.
            entry.before = (
                None
                if settings is None
                else self._family.before(self._optimizer, entry.parameter, settings, entry.before)
            )

    @torch.no_grad()
    def after_update(self, step: int, sizes: Sequence[int], routed: frozenset[int]) -> StepBooks:
        """Book the update that just happened.

        Args:
            step: Number of the step.
            sizes: Visits of each micro-batch.
            routed: ``id`` of every tensor that was routed in this step.
        """
        self._held, self._stood = None, None
        if not self._measure_visits:
            self.last_rows = self._delta_rows(step, routed)
            return StepBooks(self.last_rows, {})
        num_visits, num_groups = sum(sizes), len(self.groups)
        names = ("align", "gnorm", "unorm") if self._update_norms else ("align", "gnorm")
        matrices = {name: np.zeros((num_visits, num_groups)) for name in names}
        rows = []
        books = self._book_groups(sizes)
        for place, (group, entries) in enumerate(zip(self.groups, self.tracked, strict=True)):
            booked = books[place]
            if self.sketcher is not None:
                self.sketcher.add_group(self, place, entries, sizes)
            for name in names:
                matrices[name][:, place] = getattr(booked, name)
            rows.append(
                booked.lines.row(
                    step=step,
                    group=group.record.group,
                    visit_norms=booked.visit_norms,
                    routed=any(id(entry.parameter) in routed for entry in entries),
                )
            )
        for name in names[1:]:
            np.sqrt(matrices[name], out=matrices[name])
        matrices["gnorm"] /= self.loss_scale
        self.last_rows = rows
        return StepBooks(rows, {name: value.astype(np.float32) for name, value in matrices.items()})

    def _book_groups(self, sizes: Sequence[int]) -> list[GroupBooks]:
        """Book every group, several at once where all of them are on the CPU."""
        jobs = [
            partial(book_group, self, entries, sizes, scaled=self._update_norms)
            for entries in self.tracked
        ]
        elements = [sum(entry.raw.numel() for entry in entries) for entries in self.tracked]
        tensors = [entry for entries in self.tracked for entry in entries]
        return work_together(jobs, elements) if on_cpu(tensors) else [job() for job in jobs]

    @torch.no_grad()
    def parameters_stand(self) -> bool:
        """Compare all parameters with how the last step left them; False where that is not held.

        Where they stand, the copy of them is that from before the next update too.
        """
        entries = [entry for group in self.tracked for entry in group]
        self._stood = None
        if self._held is not None and all_stand(entries, self._held):
            self._stood = [count_changes(entry.parameter) for entry in entries]
        return self._stood is not None

    @torch.no_grad()
    def hold_parameters(self, model: nn.Module) -> str:
        """Keep what a step left, to compare it when the next one begins; return its fingerprint."""
        entries = [entry for group in self.tracked for entry in group]
        found, self._held = copy_and_fingerprint(entries, model, self._optimizer)
        return found

    def _is_held(self, entries: Sequence[Tracked]) -> bool:
        """Whether the copy stands: a write since the step began is none of the update's."""
        return self._stood is not None and self._stood == [
            count_changes(entry.parameter) for entry in entries
        ]

    def _delta_rows(self, step: int, routed: frozenset[int]) -> list[dict[str, Any]]:
        """Book deltas alone, for the level ``decisions``."""
        norms = iter(change_norms([entry for entries in self.tracked for entry in entries]))
        rows = []
        for group, entries in zip(self.groups, self.tracked, strict=True):
            settings = (self._groups_of.get(id(entry.parameter)) for entry in entries)
            rates = {float(found["lr"]) for found in settings if found is not None}
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

    def measure(
        self,
        entry: Tracked,
        sizes: Sequence[int],
        realised: Realised,
        *directions: Tensor,
        scaled: bool = False,
    ) -> TensorVisits:
        """Measure the visits of this step on one tensor, see ``measure_visits``."""
        uses = self.capture.uses(entry.parameter)
        return measure_visits(uses, entry, sizes, realised, *directions, scaled=scaled)

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
                refuse_sparse_gradient(entry.name, parameter.grad)
                entry.raw.copy_(parameter.grad)
                entry.has_raw = True

        return copy
