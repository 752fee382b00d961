"""Execute a run again with nothing changed, and say where the two part and by how much.

Fingerprints are compared after every step. They tell that two states differ, not by how
much: the size is had from what the record keeps of every step (how far each group moved) and, at
every stored state, from the weights themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from gradledger.errors import ReplayError
from gradledger.recorder.attention import Attention
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import Step
from gradledger.replay.journal import RerunJournal
from gradledger.replay.recorded import RecordedRun, load_weights
from gradledger.segment import read_table
from gradledger.state.torch_state import (
    model_tensors,
    rng_fingerprint,
    training_fingerprint,
)

#: Called after every step with its number and the number of the last one.
Progress = Callable[[int, int], None]


@dataclass
class Compared:
    """What a replay without an intervention found.

    Attributes:
        start: Step of the state that it began with.
        stop: Last step that was executed.
        num_identical: Steps whose states before and after are those of the record, bit for bit.
        first_different: First step after which they are not; None where there is none.
        first_other_rng: First step before which random numbers differ.
        delta_size: Largest relative difference of how far a group moved, over all steps.
        first_delta_size: The same in the first differing step.
        states: At every stored state from the first difference on: step, largest distance of a
            group relative to its displacement since the start.
    """

    start: int
    stop: int
    num_identical: int = 0
    first_different: int | None = None
    first_other_rng: int | None = None
    delta_size: float = 0.0
    first_delta_size: float | None = None
    states: list[dict[str, float]] = field(default_factory=list)

    @property
    def distance(self) -> float:
        """Largest relative distance at a stored state; 0 where the replay is the run."""
        return max((state["distance"] for state in self.states), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "distance": self.distance}


class Comparison(RerunJournal):
    """The journal of a replay that changes nothing.

    Args:
        run: The recorded run.
        tolerance: None to stop at the first difference; else how far groups may be from the
            recorded ones at stored states, relative to their displacement, for the replay to go on.
        progress: Called after every step.

    Attributes:
        found: What was found so far.
    """

    def __init__(
        self, run: RecordedRun, tolerance: float | None = None, progress: Progress | None = None
    ) -> None:
        super().__init__(run, self)
        self._tolerance, self._progress = tolerance, progress
        self.found = Compared(0, run.num_steps)
        steps = read_table(run.run_dir, "steps", ["step", "rng_fingerprint"]).to_pylist()
        self._rng = {row["step"]: row["rng_fingerprint"] for row in steps}
        self._deltas: dict[int, dict[int, float]] = {}
        self._states = frozenset(run.stored_states())

    def begin_at(self, start: int, folder: Path | None = None) -> None:
        """Begin after this step."""
        super().begin_at(start, folder)
        self.found.start = start

    def attention(self, *, visits: bool) -> Attention:
        """Leave out what the comparison of states finds too."""
        return replace(super().attention(visits=visits), finite=False)

    def begin_step(self, recorder: Recorder, step: Step) -> None:
        """Compare the state before the step, and the random numbers."""
        super().begin_step(recorder, step)
        if self.found.first_other_rng is None and rng_fingerprint() != self._rng.get(step.number):
            self.found.first_other_rng = step.number

    def book(
        self, recorder: Recorder, step: Step, sizes: Sequence[int], routed: frozenset[int]
    ) -> None:
        """Book nothing: states are compared."""

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Compare the state after the step."""
        super().end_step(recorder, step)
        if self.found.first_different is None:
            self.found.num_identical += 1
        else:
            self._note_size(recorder, step.number)
            if step.number in self._states:
                self._measure_state(recorder, step.number)
        if self._progress is not None:
            self._progress(step.number, self.stop)

    def _compare(self, recorder: Recorder, step: Step, side: int) -> None:
        if self.found.first_different is not None:
            return
        # In an unbroken record the state before a step is the one after the step before it, which
        # was compared; what a script changes in between shows after this step.
        before, after = (
            self.run.fingerprints.get(n, ("", "")) for n in (step.number - 1, step.number)
        )
        if side == 0 and self.found.num_identical and before[1] == after[0]:
            return
        if not self._differs(recorder, step.number, side):
            return
        self.found.first_different = step.number
        if self._tolerance is None:
            if side == 1:
                self._note_size(recorder, step.number)
            raise self._difference(step.number, side)

    def _differs(self, recorder: Recorder, step: int, side: int) -> bool:
        found = training_fingerprint(recorder.model, recorder.optimizer)
        return found != self.run.fingerprints.get(step, ("none", "none"))[side]

    def _note_size(self, recorder: Recorder, step: int) -> None:
        size = self._delta_size(recorder, step)
        self.found.delta_size = max(self.found.delta_size, size)
        if self.found.first_delta_size is None:
            self.found.first_delta_size = size

    @torch.no_grad()
    def _delta_size(self, recorder: Recorder, step: int) -> float:
        if not self._deltas:
            names = ["step", "group", "delta_norm"]
            for row in read_table(self.run.run_dir, "books", names).to_pylist():
                self._deltas.setdefault(row["step"], {})[row["group"]] = row["delta_norm"]
        sizes = [0.0]
        for group, entries in zip(recorder.grouping.groups, recorder.booker.tracked, strict=True):
            moved = math.hypot(
                *(
                    float(torch.linalg.vector_norm((e.parameter - e.theta_before).double()))
                    for e in entries
                )
            )
            recorded = self._deltas.get(step, {}).get(group.record.group)
            if recorded is not None and math.isfinite(recorded):
                largest = max(abs(recorded), abs(moved))
                sizes.append(abs(moved - recorded) / largest if largest else 0.0)
        return max(sizes)

    @torch.no_grad()
    def _measure_state(self, recorder: Recorder, step: int) -> None:
        """Take the distance of the weights at a stored state."""
        recorded = load_weights(self.run.weights_path(step))
        begun = load_weights(self.run.weights_path(self.start))
        found = model_tensors(recorder.model)
        largest = 0.0
        for group in self.run.parameter_groups():
            names = [tensor["name"] for tensor in group["tensors"]]
            apart = _distance((found[name].detach().cpu(), recorded[name]) for name in names)
            moved = _distance((begun[name], recorded[name]) for name in names)
            if apart:
                largest = max(largest, apart / moved if moved else math.inf)
        self.found.states.append({"step": step, "distance": largest})
        if self._tolerance is not None and not largest <= self._tolerance:
            raise self._difference(step, 1)

    def _difference(self, step: int, side: int) -> ReplayError:
        size = self.found.first_delta_size
        told = [
            f"another state {('before', 'after')[side]} step {step}",
            f"first difference in step {self.found.first_different}",
        ]
        if size is not None:
            told.append(f"groups moved otherwise by {size:.1e} of their way there")
        if self.found.states:
            told.append(f"{self.found.distance:.1e} of the displacement apart")
        return ReplayError(
            "R103",
            observed="; ".join(told),
            expected="the recorded state"
            + (f", within {self._tolerance:g}" if self._tolerance is not None else ", bit for bit"),
            where=str(self.run.run_dir),
            hint="replay on the same kind of machine, library versions and thread count, with the "
            "script that was recorded; a tolerance says what still holds",
        )


def _distance(pairs: Any) -> float:
    """Return the length of the difference of two sets of tensors."""
    return math.hypot(*(float(torch.linalg.vector_norm(a.double() - b.double())) for a, b in pairs))
