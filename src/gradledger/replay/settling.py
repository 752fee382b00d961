"""What a settling pass takes from every update: inner products with the vectors of all targets.

Shape legend: V visits of a step, G parameter groups.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import Step
from gradledger.recorder.tracked import Tracked
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.settled_part import SettledParts, SettledStep
from gradledger.replay.target import Target
from gradledger.schema import ACCRUAL_LINES
from gradledger.update import line_tensors


class SettlingObserver:
    """Takes inner products of entries and lines with the vectors of all targets.

    Args:
        run: The recorded run.
        targets: What to take inner products with.
        parts: Where it is kept what was found; None to keep nothing.
        reached: Stored step up to which ``parts`` has everything.
    """

    def __init__(
        self,
        run: RecordedRun,
        targets: Sequence[Target],
        parts: SettledParts | None = None,
        reached: int = 0,
    ) -> None:
        self._run, self._targets = run, list(targets)
        self._parts, self._stored = parts, run.stored_states()
        self._reached, self._start = reached, reached
        self._lines: list[tuple[int, int, int, int, float]] = []

    @torch.no_grad()
    def book(
        self,
        recorder: Recorder,
        step: Step,
        sizes: Sequence[int],
        routed: frozenset[int],  # noqa: ARG002 - part of Observer
    ) -> None:
        """Take inner products of this step's entries and lines with every active vector."""
        if self._reached and self._parts is not None:
            for found in self._parts.read(self._stored, self._reached):
                self._begin(recorder, found.step)
                self._deliver(found)
            self._reached = 0
        active = self._begin(recorder, step.number)
        dots = np.zeros((len(active), sum(sizes), len(recorder.booker.tracked)))
        self._lines = []
        for column, entries in enumerate(recorder.booker.tracked):
            for entry in entries:
                self._book_tensor(recorder, entry, sizes, active, dots[:, :, column], column)
        lines = np.asarray(self._lines, np.float64).reshape(-1, 5)
        found = SettledStep(step.number, dots, lines)
        self._deliver(found)
        if self._parts is not None:
            self._parts.add(found)
            if step.number in self._stored:
                self._parts.close_part(self._start, step.number)
                self._start = step.number

    def _begin(self, recorder: Recorder, step: int) -> list[tuple[int, int]]:
        """Return target and place of every vector that is active in a step."""
        return [
            (number, place)
            for number, target in enumerate(self._targets)
            for place in range(target.begin(recorder, step))
        ]

    def _deliver(self, found: SettledStep) -> None:
        """Hand a step to the targets, in the order in which it was found."""
        for number, place, column, line, value in found.lines.tolist():
            target = self._targets[int(number)]
            target.add_line(int(place), int(column), ACCRUAL_LINES[int(line)], value)
        visits = self._run.visits_of(found.step)
        row = 0
        for target in self._targets:
            for place in range(target.num_active):
                target.add_visits(place, visits, found.dots[row])
                row += 1
            target.end(found.step)

    def _book_tensor(
        self,
        recorder: Recorder,
        entry: Tracked,
        sizes: Sequence[int],
        active: list[tuple[int, int]],
        dots: NDArray[np.float64],
        column: int,
    ) -> None:
        realised = recorder.booker.realise(entry)
        if realised is None:
            return
        device = entry.parameter.device
        ends = [
            self._targets[number].vector(place, entry.name).to(device) for number, place in active
        ]
        captured, kappa = None, 1.0
        if entry.captured and active:
            weights = [realised.entry_weights(end) for end in ends]
            visits = recorder.booker.measure(entry, sizes, realised, *weights)
            kappa = recorder.booker.clip_factor(entry)
            dots += kappa * visits.dots
            captured = visits.total
        lines = line_tensors(
            realised,
            entry.account,
            theta_before=entry.theta_before,
            theta_after=entry.parameter,
            g_raw=entry.raw,
            g_used=recorder.booker.gradient(entry),
            captured=captured,
        )
        entry.account.advance(realised, entry.theta_before)
        self._take_lines(active, ends, lines, column)

    def _take_lines(
        self,
        active: Sequence[tuple[int, int]],
        ends: Sequence[Tensor],
        lines: dict[str, Tensor],
        column: int,
    ) -> None:
        """Take the inner product of every accrual line with every vector."""
        flat = [end.reshape(-1).double() for end in ends]
        for number, line in enumerate(ACCRUAL_LINES):
            direction = lines[line].reshape(-1)
            if not direction.any():
                continue  # Half of the lines are exact zeros for most tensors.
            direction = direction.double()
            for (target, place), end in zip(active, flat, strict=True):
                self._lines.append(
                    (target, place, column, number, float(torch.dot(end, direction)))
                )
