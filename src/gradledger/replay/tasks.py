"""What can be done with a recorded run and a loop that trains it: by name, with plain arguments.

The same tasks are performed where the loop is a function of this process and where it is a script
in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch

from gradledger.errors import GradledgerError
from gradledger.query.records import open_records
from gradledger.query.replays import replays_folder
from gradledger.recorder.environment import read_environment
from gradledger.replay.answer import answer_task
from gradledger.replay.compare import Comparison, Progress
from gradledger.replay.contents import contents_of
from gradledger.replay.counterfactual import counterfactual
from gradledger.replay.frozen import book_task, note_task
from gradledger.replay.loop import TrainingLoop
from gradledger.replay.machine import as_recorded
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import execute
from gradledger.replay.settle import settle
from gradledger.schema import intervention_from
from gradledger.segment import read_json, write_json
from gradledger.state.torch_state import preserved_rng

Task = Callable[[RecordedRun, Mapping[str, Any], TrainingLoop, Progress], dict[str, Any]]

_VERIFIED: Final = "identical.json"


def perform(
    run_dir: Path, task: Mapping[str, Any], loop: TrainingLoop, progress: Progress
) -> dict[str, Any]:
    """Perform a task on a closed run.

    Args:
        run_dir: The run.
        task: ``name`` of the task and its arguments, values that JSON knows.
        loop: Builds and trains.
        progress: Called after every step.

    Returns:
        What was found; values that JSON knows.

    Raises:
        ReplayError: The run cannot be executed again.
    """
    run = RecordedRun(run_dir)
    with ExitStack() as stack:
        stack.enter_context(as_recorded(run.begin["environment"]))
        stack.enter_context(preserved_rng())
        return TASKS[str(task["name"])](run, task, loop, progress)


def compare_task(
    run: RecordedRun, task: Mapping[str, Any], loop: TrainingLoop, progress: Progress
) -> dict[str, Any]:
    """Execute with nothing changed; begin behind what was found identical on this machine before.

    Task arguments: ``start`` (a stored step; None to choose), ``tolerance`` (None for bit for bit),
    ``fresh`` (do not go on from what was found before).
    """
    start, place = task.get("start"), replays_folder(run.run_dir) / _VERIFIED
    tolerance = task.get("tolerance")
    verified = 0 if task.get("fresh") or start is not None else _verified(run, place)
    journal = _Verifying(run, tolerance, progress, place if start in (None, 0) else None)
    begun = verified if start is None else int(start)
    if begun < run.num_steps:
        model = execute(run, loop.build, loop.train, journal, start=begun, measure_visits=False)
        environment = read_environment(model)
    else:
        environment = run.begin["environment"]
        journal.begin_at(begun)
    recorded = run.begin["environment"]
    return {
        **journal.found.to_dict(),
        "num_steps": run.num_steps,
        "num_verified_before": verified,
        "tolerance": tolerance,
        "other_environment": {
            name: [recorded.get(name), value]
            for name, value in environment.items()
            if value != recorded.get(name)
        },
    }


class _Verifying(Comparison):
    """Notes at every stored state how far the replay is the run."""

    def __init__(
        self,
        run: RecordedRun,
        tolerance: float | None,
        progress: Progress | None,
        place: Path | None,
    ) -> None:
        super().__init__(run, tolerance, progress)
        self._place = place

    def end_step(self, recorder: Any, step: Any) -> None:
        """Compare, and note."""
        super().end_step(recorder, step)
        if (
            self._place is None
            or self.found.first_different is not None
            or step.number not in self._states
        ):
            return
        record = {
            "run_id": self.run.begin["run_id"],
            "environment": read_environment(recorder.model),
            "step": step.number,
            "at": datetime.now(UTC).isoformat(),
        }
        write_json(self._place, record)


def _verified(run: RecordedRun, place: Path) -> int:
    """Return the stored step up to which the run was found identical with these libraries."""
    try:
        record = read_json(place)
        same = record["run_id"] == run.begin["run_id"]
        step, environment = int(record["step"]), dict(record["environment"])
    except (GradledgerError, KeyError, TypeError, ValueError):
        return 0
    now = {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}
    fits = all(environment.get(name) == value for name, value in now.items())
    return step if same and fits and step in run.stored_states() else 0


def settle_task(
    run: RecordedRun, task: Mapping[str, Any], loop: TrainingLoop, progress: Progress
) -> dict[str, Any]:
    """Settle a run.

    Task arguments: ``intervals``, pairs of stored steps or None for the whole run; ``key``, path of
    the key file that signs the log, or None.
    """
    asked = task.get("intervals")
    intervals = [(0, run.num_steps)] if asked is None else [(int(a), int(b)) for a, b in asked]
    settled = settle(
        run.run_dir,
        loop.build,
        loop.train,
        intervals,
        loop.probes,
        key=task.get("key"),
        progress=progress,
    )
    return {
        "num_steps": settled.num_steps,
        "intervals": [list(interval) for interval in intervals],
        "probes": {name: asdict(probe) for name, probe in settled.probes.items()},
    }


def counterfactual_task(
    run: RecordedRun, task: Mapping[str, Any], loop: TrainingLoop, progress: Progress
) -> dict[str, Any]:
    """Execute under an intervention.

    Task arguments: ``intervention`` (as ``to_dict`` gives it), ``start`` (a stored step; None to
    choose), ``fresh``.
    """
    records = open_records(run.run_dir)
    try:
        return counterfactual(
            records,
            intervention_from(task["intervention"]),
            loop,
            fresh=bool(task.get("fresh")),
            start=task.get("start"),
            progress=progress,
        )
    finally:
        records.close()


def contents_task(
    run: RecordedRun, task: Mapping[str, Any], loop: TrainingLoop, progress: Progress
) -> dict[str, Any]:
    """Digest the content of examples; nothing is trained. Task argument: ``examples``."""
    del progress
    found = contents_of(run, loop, task["examples"])
    return {str(number): digest.hex() for number, digest in found.items()}


def stretch_task(
    run: RecordedRun, task: Mapping[str, Any], loop: TrainingLoop, progress: Progress
) -> dict[str, Any]:
    """Execute a few steps with nothing changed. Task arguments: ``start``, ``stop``."""
    journal = Comparison(run, None, progress)
    start, stop = int(task["start"]), int(task["stop"])
    execute(run, loop.build, loop.train, journal, start=start, stop=stop, measure_visits=False)
    return {**journal.found.to_dict(), "start": start, "stop": stop}


TASKS: Final[dict[str, Task]] = {
    "answer": answer_task,
    "compare": compare_task,
    "contents": contents_task,
    "counterfactual": counterfactual_task,
    "frozen_book": book_task,
    "frozen_note": note_task,
    "stretch": stretch_task,
    "settle": settle_task,
}
