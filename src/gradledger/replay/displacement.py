"""Displacement as a target of settling: the vector of an interval is the change over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradledger.recorder.recorder import Recorder
from gradledger.replay.recorded import RecordedRun, RecordedVisit, load_weights
from gradledger.replay.target import visit_columns
from gradledger.schema import ACCRUAL_LINES
from gradledger.segment import SealedSegment, SegmentWriter


class Displacement:
    """Adds up inner products with the displacement of each interval.

    Args:
        run: The recorded run.
        intervals: Pairs (start, stop) of steps with stored states, start < stop.
        table: Folder of the tables.
        lines: Their lines.
    """

    def __init__(
        self,
        run: RecordedRun,
        intervals: Sequence[tuple[int, int]],
        table: str = "displacement",
        lines: Sequence[str] = ACCRUAL_LINES,
    ) -> None:
        self.run, self.intervals = run, list(intervals)
        self._table, self._names = table, tuple(lines)
        self._ends = [
            tuple(load_weights(run.state_dir(step) / "model.safetensors") for step in interval)
            for interval in self.intervals
        ]
        self._active: list[int] = []
        groups = run.parameter_groups()
        self._numbers = [group["group"] for group in groups]
        self.lines = [{line: np.zeros(len(groups)) for line in self._names} for _ in self.intervals]
        self.squares = [
            np.asarray([self._square(place, group) for group in groups])
            for place in range(len(self.intervals))
        ]
        extra = {f"share_{number}": "float64" for number in self._numbers}
        self._visits = SegmentWriter(run.run_dir, f"{table}/visits", extra)

    @property
    def num_active(self) -> int:
        """Intervals that the current step lies in."""
        return len(self._active)

    def begin(self, recorder: Recorder, step: int) -> int:  # noqa: ARG002 - part of Target
        """Note the intervals that the step lies in."""
        return self.enter(step)

    def enter(self, step: int) -> int:
        """Note the intervals that a step lies in; return how many there are."""
        self._active = [
            place for place, (start, stop) in enumerate(self.intervals) if start < step <= stop
        ]
        return len(self._active)

    def vector(self, place: int, name: str) -> Tensor:
        """Return the displacement of a tensor."""
        return self._displacement(self._active[place], name)

    def add_line(self, place: int, column: int, line: str, value: float) -> None:
        """Add a part of a line."""
        self.lines[self._active[place]][line][column] += value

    def add_visits(
        self, place: int, visits: Sequence[RecordedVisit], dots: NDArray[np.float64]
    ) -> None:
        """Gather the rows of ``displacement/visits``."""
        interval = self._active[place]
        start, stop = self.intervals[interval]
        columns: dict[str, Any] = {
            "interval": [interval] * len(visits),
            "start_step": [start] * len(visits),
            "stop_step": [stop] * len(visits),
            **visit_columns(visits),
        }
        for column, number in enumerate(self._numbers):
            columns[f"share_{number}"] = np.ascontiguousarray(dots[:, column])
        self._visits.append(columns)

    def end(self, step: int) -> None:
        """Nothing is freed: all ends are held to the end of the pass."""

    def finish(self) -> list[SealedSegment]:
        """Seal both tables."""
        visits = self._visits.seal()
        rows = [
            (place, start, stop, number, line, self.lines[place][line][column], square[column])
            for place, (start, stop) in enumerate(self.intervals)
            for square in (self.squares[place],)
            for column, number in enumerate(self._numbers)
            for line in self._names
        ]
        names = ("interval", "start_step", "stop_step", "group", "line", "dot", "displacement_sq")
        writer = SegmentWriter(self.run.run_dir, f"{self._table}/lines", {})
        writer.append({name: [row[place] for row in rows] for place, name in enumerate(names)})
        return [segment for segment in (visits, writer.seal()) if segment is not None]

    def discard(self) -> None:
        """Nothing is written before the end."""

    def shares(self) -> list[dict[str, NDArray[np.float64]]]:
        """Return shares by interval and line, one number per group; NaN where nothing moved."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return [
                {line: values / square for line, values in lines.items()}
                for lines, square in zip(self.lines, self.squares, strict=True)
            ]

    def _displacement(self, interval: int, name: str) -> Tensor:
        start, stop = self._ends[interval]
        return stop[name] - start[name]

    def _square(self, interval: int, group: dict[str, Any]) -> float:
        return sum(
            float(self._displacement(interval, tensor["name"]).double().square().sum())
            for tensor in group["tensors"]
        )
