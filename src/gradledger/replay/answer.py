"""Re-execute drawn steps and write down what they came to; nothing is compared here.

Whoever checks an answer compares it with the record. So the journal does not stop where the two
differ: what was found goes into the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from gradledger.recorder.environment import read_environment
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import MicroBatch, Step
from gradledger.recorder.visit_rows import visit_rows
from gradledger.replay.compare import Progress
from gradledger.replay.journal import RerunJournal
from gradledger.replay.loop import TrainingLoop
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import execute
from gradledger.state.torch_state import training_fingerprint


class Answering(RerunJournal):
    """The journal of an answer.

    Args:
        run: The recorded run.
        wanted: Steps that are asked for.
        progress: Called after every step.

    Attributes:
        found: One record for each of them.
    """

    def __init__(self, run: RecordedRun, wanted: Collection[int], progress: Progress) -> None:
        super().__init__(run, self)
        self._wanted, self._progress = frozenset(wanted), progress
        self.found: list[dict[str, Any]] = []
        self._fingerprints: dict[int, str] = {}
        self._books: list[dict[str, Any]] = []
        self._measures: Mapping[str, Any] = {}

    def presented(self, step: Step, micro: MicroBatch) -> None:  # noqa: ARG002 - part of Journal
        """Count it; what it holds goes into the answer."""
        self._order.use()

    def book(
        self, recorder: Recorder, step: Step, sizes: Sequence[int], routed: frozenset[int]
    ) -> None:
        """Book the update as it was booked when it was recorded."""
        books = recorder.booker.after_update(step.number, sizes, routed)
        self._books, self._measures = books.rows, books.measures

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Write down what a wanted step came to."""
        super().end_step(recorder, step)
        if step.number in self._wanted:
            self.found.append(self._record(recorder, step))
        self._books, self._measures = [], {}
        self._progress(step.number, self.stop)

    def _compare(self, recorder: Recorder, step: Step, side: int) -> None:
        if step.number in self._wanted:
            self._fingerprints[side] = training_fingerprint(recorder.model, recorder.optimizer)

    def _record(self, recorder: Recorder, step: Step) -> dict[str, Any]:
        rows = visit_rows(recorder, step, self._measures)
        columns = rows.columns
        places = range(len(columns["step"]))
        return {
            "step": step.number,
            "from_state": self.start,
            "fingerprint_before": self._fingerprints[0],
            "fingerprint_after": self._fingerprints[1],
            "visits": [
                {
                    **{
                        name: int(columns[name][place])
                        for name in ("micro_batch", "position", "example", "decision")
                    },
                    "digest": columns["digest"][place].hex(),
                    **{
                        name: [_plain(value) for value in values[place]]
                        for name, values in rows.measures.items()
                        if name in self._measures
                    },
                }
                for place in places
            ],
            "books": [{name: _plain(value) for name, value in row.items()} for row in self._books],
        }


def answer_task(
    run: RecordedRun, task: Mapping[str, Any], loop: TrainingLoop, progress: Progress
) -> dict[str, Any]:
    """Execute from one stored state to the last wanted step behind it.

    Task arguments: ``start``, a stored step; ``steps``, the wanted ones, none of which has a later
    stored state before it.
    """
    wanted = [int(step) for step in task["steps"]]
    journal = Answering(run, wanted, progress)
    model = execute(
        run,
        loop.build,
        loop.train,
        journal,
        start=int(task["start"]),
        stop=max(wanted),
        measure_visits=run.begin["level"] == "shares",
    )
    return {"steps": journal.found, "environment": read_environment(model)}


def _plain(value: Any) -> Any:
    """Return a value that JSON holds without loss; None where it is not finite."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
