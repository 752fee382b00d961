"""The settling pass: whose gradients make up the displacement of each parameter group.

Shares of displacement need the end vector, which is known only when training is over. A settling
pass executes the run once more, checks at every step that it is the same run bit for bit, and takes
the inner product of every accrual entry with the displacement.

Shape legend: V visits of a step, G parameter groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from gradledger.errors import ReplayError
from gradledger.log import write_manifest
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import Step
from gradledger.recorder.tracked import Tracked
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import Build, Train, rerun
from gradledger.schema import ACCRUAL_LINES
from gradledger.segment import SegmentWriter, segment_files
from gradledger.update import line_tensors


@dataclass(frozen=True)
class Settled:
    """What a settling pass found for the whole of its intervals.

    Attributes:
        num_steps: Steps executed again, each bit-identical to the record.
        shares: Interval -> line -> share of displacement, one number per group; NaN where the
            group did not move. Over all lines the shares add up to 1.
    """

    num_steps: int
    shares: list[dict[str, NDArray[np.float64]]]


class SettlingObserver:
    """Adds up inner products with the displacement of each interval.

    Args:
        run: The recorded run.
        intervals: Pairs (start, stop) of steps with stored states, start < stop.
    """

    def __init__(self, run: RecordedRun, intervals: Sequence[tuple[int, int]]) -> None:
        self.run, self.intervals = run, list(intervals)
        self._ends = [
            (_load(run.state_dir(start)), _load(run.state_dir(stop)))
            for start, stop in self.intervals
        ]
        groups = [group for group in run.begin["groups"] if group["role"] == "parameters"]
        self._numbers = [group["group"] for group in groups]
        self.lines = [
            {line: np.zeros(len(groups)) for line in ACCRUAL_LINES} for _ in self.intervals
        ]
        self.squares = [
            np.asarray([self._square(place, group) for group in groups])
            for place in range(len(self.intervals))
        ]
        extra = {f"share_{number}": "float64" for number in self._numbers}
        self._visits = SegmentWriter(run.run_dir, "displacement/visits", extra)

    def _displacement(self, interval: int, name: str) -> Tensor:
        start, stop = self._ends[interval]
        return stop[name] - start[name]

    def _square(self, interval: int, group: dict[str, Any]) -> float:
        return sum(
            float(self._displacement(interval, tensor["name"]).double().square().sum())
            for tensor in group["tensors"]
        )

    @torch.no_grad()
    def book(
        self,
        recorder: Recorder,
        step: Step,
        sizes: Sequence[int],
        routed: frozenset[int],  # noqa: ARG002 - part of Observer
    ) -> None:
        """Take inner products of this step's entries and lines with every displacement."""
        active = [
            place
            for place, (start, stop) in enumerate(self.intervals)
            if start < step.number <= stop
        ]
        dots = np.zeros((len(active), sum(sizes), len(self._numbers)))
        for column, entries in enumerate(recorder.booker.tracked):
            for entry in entries:
                self._book_tensor(recorder, entry, sizes, active, dots[:, :, column], column)
        for row, place in enumerate(active):
            self._write(place, step.number, dots[row])

    def _book_tensor(
        self,
        recorder: Recorder,
        entry: Tracked,
        sizes: Sequence[int],
        active: list[int],
        dots: NDArray[np.float64],
        column: int,
    ) -> None:
        realised = recorder.booker.realise(entry)
        if realised is None:
            return
        ends = [self._displacement(place, entry.name) for place in active]
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
        for place, end in zip(active, ends, strict=True):
            flat = end.reshape(-1).double()
            for line in ACCRUAL_LINES:
                value = float(torch.dot(flat, lines[line].reshape(-1).double()))
                self.lines[place][line][column] += value

    def _write(self, place: int, step: int, dots: NDArray[np.float64]) -> None:
        start, stop = self.intervals[place]
        visits = self.run.visits_of(step)
        columns: dict[str, Any] = {
            "interval": [place] * len(visits),
            "start_step": [start] * len(visits),
            "stop_step": [stop] * len(visits),
            "step": [visit.step for visit in visits],
            "micro_batch": [visit.micro_batch for visit in visits],
            "position": [visit.position for visit in visits],
            "example": [visit.example for visit in visits],
            "decision": [visit.decision for visit in visits],
        }
        for column, number in enumerate(self._numbers):
            columns[f"share_{number}"] = np.ascontiguousarray(dots[:, column])
        self._visits.append(columns)

    def finish(self) -> list[dict[str, NDArray[np.float64]]]:
        """Seal both tables; return shares by interval and line."""
        self._visits.seal()
        rows = [
            (place, start, stop, number, line, self.lines[place][line][column], square[column])
            for place, (start, stop) in enumerate(self.intervals)
            for square in (self.squares[place],)
            for column, number in enumerate(self._numbers)
            for line in ACCRUAL_LINES
        ]
        names = ("interval", "start_step", "stop_step", "group", "line", "dot", "displacement_sq")
        writer = SegmentWriter(self.run.run_dir, "displacement/lines", {})
        writer.append({name: [row[place] for row in rows] for place, name in enumerate(names)})
        writer.seal()
        with np.errstate(invalid="ignore", divide="ignore"):
            return [
                {line: values / square for line, values in lines.items()}
                for lines, square in zip(self.lines, self.squares, strict=True)
            ]


def settle(
    run_dir: str | Path,
    build: Build,
    train: Train,
    intervals: Sequence[tuple[int, int]] | None = None,
) -> Settled:
    """Execute a run again and book displacement shares of every visit.

    Args:
        run_dir: A closed run.
        build: Builds model and optimizer as the run did.
        train: The training loop that was recorded; it does not close the recorder.
        intervals: Pairs (start, stop) of stored steps; by default the whole run.

    Returns:
        Shares by interval, line and group; the tables ``displacement/visits`` and
        ``displacement/lines`` are added to the run and its manifest is renewed.

    Raises:
        ReplayError: The run cannot be executed again as it was (R101 to R105), or is settled
            already (R106).

    Source:
        The accrual identity: entries + inventory + revaluation + decay + edits + rounding add up
        to the displacement over any interval.
    """
    run = RecordedRun(Path(run_dir))
    if any(segment_files(run.run_dir, f"displacement/{table}") for table in ("visits", "lines")):
        raise ReplayError(
            "R106",
            observed="displacement shares in the run",
            expected="a run that is not settled yet",
            where=str(run.run_dir),
            hint="name all intervals in one pass, or remove the folder displacement/ first",
        )
    observer = SettlingObserver(run, intervals or [(0, run.num_steps)])
    rerun(run, build, train, observer)
    shares = observer.finish()
    write_manifest(run.run_dir)
    return Settled(run.num_steps, shares)


def _load(folder: Path) -> dict[str, Tensor]:
    with safe_open(folder / "model.safetensors", framework="pt") as stored:
        return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
