"""Within the user's own script: ``gl.record`` begins a replay where one was asked for.

``gradledger replay RUN -- python train.py`` starts that command with the environment variable
``GRADLEDGER_REPLAY``, which names a request. It is read when the script calls ``gl.record``.
When the script closes the recorder the process ends there: what it would do next (save the model,
report to a dashboard) belongs to the recorded run, and a replay must not do it again.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import torch
from torch import nn, optim

from gradledger.errors import GradledgerError, ReplayError
from gradledger.recorder.order import RecordEnd
from gradledger.replay.handoff import GuestRecorder, Handoff
from gradledger.replay.loop import TrainingLoop
from gradledger.replay.tasks import perform
from gradledger.segment import read_json, write_json

#: Requests of this process that were taken already.
_TAKEN: list[str] = []


def take_over(
    request: str, run_dir: str | Path, model: nn.Module, optimizer: optim.Optimizer
) -> Any:
    """Begin the replay that a request asks for; return what the script records with.

    Args:
        request: Path of the request: ``run``, ``name``, ``task``, ``outcome`` and ``progress``.
        run_dir: Where the script would record to.
        model: The model that it built.
        optimizer: Its optimizer.

    Raises:
        ReplayError: The script records another run (R143), or records a second time (R144); the
            replay cannot begin.
    """
    asked = read_json(Path(request))
    guest = _Guest(asked)
    if (refusal := _refusal(asked, Path(run_dir))) is not None:
        guest.write_error(refusal)
        raise refusal
    _TAKEN.append(request)
    return guest.begin(model, optimizer)


class _Guest:
    """One replay inside a script."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        self._handoff: Handoff | None = None
        self._outcome, self._progress = Path(asked["outcome"]), Path(asked["progress"])

    def begin(self, model: nn.Module, optimizer: optim.Optimizer) -> GuestRecorder:
        """Start the engine and watch over how the script ends."""
        run_dir = Path(self._asked["run"])
        threads = read_json(run_dir / "run.json")["environment"].get("torch_threads")
        if threads:
            torch.set_num_threads(int(threads))
        self._handoff = handoff = Handoff(model, optimizer, self._work)
        usual = sys.excepthook

        def hook(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            if isinstance(error, RecordEnd):
                self._finish()
            usual(kind, error, trace)
            self._give_up(error)

        sys.excepthook = hook
        atexit.register(self._give_up, None)
        return GuestRecorder(handoff.begin(), self._finish)

    def write_error(self, error: GradledgerError) -> None:
        """Leave the error as the outcome."""
        write_json(self._outcome, {"error": error.to_dict()})

    def _work(self, loop: TrainingLoop) -> None:
        try:
            found = perform(Path(self._asked["run"]), self._asked["task"], loop, self._tell)
        except GradledgerError as error:
            self.write_error(error)
            raise
        write_json(self._outcome, {"result": found})

    def _tell(self, step: int, num_steps: int) -> None:
        self._progress.write_text(f"{step} {num_steps}", encoding="utf-8")

    def _finish(self) -> NoReturn:
        """Let the engine conclude, then end the process."""
        if self._handoff is not None:
            self._handoff.end()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    def _give_up(self, error: BaseException | None) -> None:
        """The script ended by itself: tell the engine why."""
        if self._handoff is None or self._handoff.is_over:
            return
        if not isinstance(error, GradledgerError):
            error = ReplayError(
                "R145",
                observed="the script ended before run.close()"
                if error is None
                else f"{type(error).__name__}: {error}"[:300],
                expected="a script that trains and closes its run, as it did when it was recorded",
                where=str(self._asked["run"]),
                hint="end the script with run.close(); one that cannot go on in the middle of "
                "training is replayed from the opening: --from 0",
            )
        self._handoff.end(error)


def _refusal(asked: dict[str, Any], run_dir: Path) -> ReplayError | None:
    """Return why this call of ``gl.record`` is not the one that is meant; None where it is."""
    if run_dir.name != asked["name"]:
        return ReplayError(
            "R143",
            observed=f"gl.record({str(run_dir)!r:.200})",
            expected=f"a run named {asked['name']!r}",
            where=str(asked["run"]),
            hint=f"replay the run that the script records, or say so: --as {run_dir.name}",
        )
    if _TAKEN:
        return ReplayError(
            "R144",
            observed="a second call of gl.record",
            expected="one recorded run in each process of a script",
            where=str(run_dir),
            hint="let the script record one run, or give the replay a function: --loop",
        )
    return None
