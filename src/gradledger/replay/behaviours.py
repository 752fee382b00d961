"""Behaviours as a target of settling: the vector of an interval is a probe's mean gradient.

Between two probed states a and b the change of a probe is the integral of its gradient along the
path. The trapezoid mean of the gradients at both ends, taken with everything that moved the
parameters in between, gives nats that add up to that change but for the curvature of the path.

Source: trapezoid rule; the error is of third order in the length of the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradledger.errors import ReplayError
from gradledger.probe import Probe, probe_gradient, probe_value
from gradledger.recorder.recorder import Recorder
from gradledger.replay.probed import Course, SettledProbe, courses
from gradledger.replay.recorded import RecordedRun, RecordedVisit, load_weights
from gradledger.replay.target import visit_columns
from gradledger.schema import ACCRUAL_LINES, BUFFERS_LINE, PROBE_INTERVALS, PROBE_LINES
from gradledger.segment import ROW_GROUP_ROWS, SealedSegment, SegmentWriter

_VISITS_LINE: Final = ACCRUAL_LINES[0]
#: Largest relative difference between a recorded value and the same probe measured again.
_SAME: Final = 1e-6


@dataclass
class _Interval:
    """The interval that a probe is in, with what was added up so far."""

    number: int
    start: int
    stop: int
    mean: dict[str, Tensor]
    linear: float
    buffers: float
    visits: NDArray[np.float64]
    lines: dict[str, NDArray[np.float64]] = field(default_factory=dict)


class Behaviours:
    """Adds up inner products with the gradients of probes.

    Args:
        run: The recorded run.
        probes: The recorded probes, supplied again.

    Raises:
        ReplayError: They are not those of the record. Code R121.
    """

    def __init__(self, run: RecordedRun, probes: Sequence[Probe]) -> None:
        self.run = run
        self._courses = courses(run, probes)
        self._groups = run.parameter_groups()
        self._names = [tensor["name"] for group in self._groups for tensor in group["tensors"]]
        self._buffers = [
            tensor["name"]
            for group in run.begin["groups"]
            if group["role"] == "buffers"
            for tensor in group["tensors"]
        ]
        self._now: dict[str, _Interval] = {}
        self._ends: dict[str, dict[str, Tensor]] = {}
        self._weights: dict[int, dict[str, Tensor]] = {}
        self._active: list[Course] = []
        extra = {f"nats_{group['group']}": "float64" for group in self._groups}
        self._visits = SegmentWriter(run.run_dir, "probes/visits", extra)
        self._sealed: list[SealedSegment] = []
        self._lines: list[tuple[Any, ...]] = []
        self._intervals: list[tuple[Any, ...]] = []

    @property
    def num_active(self) -> int:
        """Intervals that the current step lies in."""
        return len(self._active)

    def begin(self, recorder: Recorder, step: int) -> int:
        """Enter the intervals that begin with this step."""
        self._active = []
        for course in self._courses:
            start = course.start_of(step)
            if start is None:
                continue
            self._active.append(course)
            if start == step - 1:
                with recorder.capture.paused():
                    self._now[course.probe.name] = self._enter(recorder.model, course, start)
        return len(self._active)

    def vector(self, place: int, name: str) -> Tensor:
        """Return the mean gradient of both ends."""
        return self._now[self._active[place].probe.name].mean[name]

    def add_line(self, place: int, column: int, line: str, value: float) -> None:
        """Add a part of a line; the visits' own line is the sum of what is booked to visits."""
        if line != _VISITS_LINE:
            self._now[self._active[place].probe.name].lines[line][column] += value

    def add_visits(
        self, place: int, visits: Sequence[RecordedVisit], dots: NDArray[np.float64]
    ) -> None:
        """Gather the rows of ``probes/visits``; write the interval down after its last step."""
        course = self._active[place]
        now = self._now[course.probe.name]
        now.visits += dots.sum(0)
        columns: dict[str, Any] = {
            "probe": [course.probe.name] * len(visits),
            "interval": [now.number] * len(visits),
            "start_step": [now.start] * len(visits),
            "stop_step": [now.stop] * len(visits),
            **visit_columns(visits),
        }
        for column, group in enumerate(self._groups):
            columns[f"nats_{group['group']}"] = np.ascontiguousarray(dots[:, column])
        self._visits.append(columns)
        if self._visits.num_rows >= ROW_GROUP_ROWS:
            self._seal()

    def end(self, step: int) -> None:
        """Write down the intervals that end with this step, and free their vectors."""
        for course in self._active:
            now = self._now[course.probe.name]
            if now.stop == step:
                self._close(course, self._now.pop(course.probe.name))

    def finish(self) -> list[SealedSegment]:
        """Seal the tables."""
        self._seal()
        for table, names, rows in (
            ("probes/lines", PROBE_LINES, self._lines),
            ("probes/intervals", PROBE_INTERVALS, self._intervals),
        ):
            writer = SegmentWriter(self.run.run_dir, table, {})
            writer.append({name: [row[place] for row in rows] for place, name in enumerate(names)})
            if (sealed := writer.seal()) is not None:
                self._sealed.append(sealed)
        return self._sealed

    def discard(self) -> None:
        """Remove the segments that are written already."""
        for sealed in self._sealed:
            (self.run.run_dir / sealed.name).unlink(missing_ok=True)

    def settled(self) -> dict[str, SettledProbe]:
        """Return the totals of every probe."""
        found = {}
        for course in self._courses:
            rows = [row for row in self._intervals if row[0] == course.probe.name]
            sums = {
                name: float(sum(row[place] for row in rows))
                for place, name in enumerate(PROBE_INTERVALS)
                if name in ("measured", "linear", "explained", "residual")
            }
            found[course.probe.name] = SettledProbe(num_intervals=len(rows), **sums)
        return found

    def _enter(self, model: nn.Module, course: Course, start: int) -> _Interval:
        """Compute the gradients of both ends; that of the first end is the last one's second."""
        name, stop = course.probe.name, course.stop_of(start)
        # Only the two ends of this interval are held, shared by all probes.
        self._weights = {
            step: self._weights.get(step) or load_weights(self.run.weights_path(step))
            for step in (start, stop)
        }
        first, last = self._weights[start], self._weights[stop]
        if name not in self._ends:
            self._compare(model, course, start)
            self._ends[name] = self._gradient(model, course.probe, first)
        opening, closing = self._ends[name], self._gradient(model, course.probe, last)
        self._ends[name] = closing
        mean = {key: (opening[key] + closing[key]) / 2 for key in closing}
        buffers = self._buffers_nats(model, course, start, stop)
        return _Interval(
            course.number_of(start),
            start,
            stop,
            mean,
            buffers + sum(_moved(mean[key], first[key], last[key]) for key in mean),
            buffers,
            np.zeros(len(self._groups)),
            {line: np.zeros(len(self._groups)) for line in ACCRUAL_LINES if line != _VISITS_LINE},
        )

    def _gradient(
        self, model: nn.Module, probe: Probe, weights: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        return probe_gradient(model, probe, self._names, weights)

    def _buffers_nats(self, model: nn.Module, course: Course, start: int, stop: int) -> float:
        """Return what the change of buffers did: measured at both ends, the mean of both.

        Running statistics cannot be differentiated by, so they are exchanged instead.
        """
        first, last = self._weights[start], self._weights[stop]
        if all(torch.equal(first[name], last[name]) for name in self._buffers):
            return 0.0
        mixed = (
            {**first, **{name: last[name] for name in self._buffers}},
            {**last, **{name: first[name] for name in self._buffers}},
        )
        ahead, behind = (probe_value(model, course.probe, weights) for weights in mixed)
        return (ahead - course.values[start] + course.values[stop] - behind) / 2

    def _compare(self, model: nn.Module, course: Course, step: int) -> None:
        """The loss cannot be digested; its first value tells whether it is the recorded one."""
        recorded = course.values[step]
        found = probe_value(model, course.probe, self._weights[step])
        if not abs(found - recorded) <= _SAME * max(1.0, abs(recorded)):
            raise ReplayError(
                "R121",
                observed=f"probe {course.probe.name!r} at {found:.9g} nats after step {step}",
                expected=f"{recorded:.9g}, as recorded",
                where=str(self.run.run_dir),
                hint="supply the loss function that the run was recorded with",
            )

    def _close(self, course: Course, now: _Interval) -> None:
        head = (course.probe.name, now.number, now.start, now.stop)
        by_line = {_VISITS_LINE: now.visits, **now.lines}
        rows = [
            (*head, group["group"], line, float(by_line[line][column]))
            for column, group in enumerate(self._groups)
            for line in ACCRUAL_LINES
        ]
        if now.buffers:
            rows.append((*head, None, BUFFERS_LINE, now.buffers))
        self._lines += rows
        before, after = course.values[now.start], course.values[now.stop]
        explained = float(sum(row[-1] for row in rows))
        measured = after - before
        self._intervals.append(
            (*head, before, after, measured, now.linear, explained, measured - explained)
        )

    def _seal(self) -> None:
        sealed = self._visits.seal()
        if sealed is not None:
            self._sealed.append(sealed)


def _moved(mean: Tensor, first: Tensor, last: Tensor) -> float:
    """Return the inner product of a mean gradient with the change of its tensor."""
    change = last.double() - first.double()
    return float((mean.double() * change.to(mean.device)).sum())
