"""Examine a training script: run it until its first recorded update, and stop before that."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from torch import nn, optim

from gradledger.errors import GradledgerError, InputError
from gradledger.examine.body import Listener
from gradledger.examine.doctor import examine
from gradledger.examine.finding import STOPS, Finding
from gradledger.examine.plan import Plan
from gradledger.query import Answer
from gradledger.recorder import Recorder, record
from gradledger.recorder.stand_in import standing_in

#: Takes the answer; nothing of the script runs after it.
Finish = Callable[[Answer], NoReturn]


def examine_script(
    script: Path,
    arguments: Sequence[str],
    folder: Path,
    finish: Finish,
    *,
    steps: int | None,
    rounds: int,
) -> NoReturn:
    """Run a script as a program; at its first recorded update hand over the answer.

    Args:
        script: Path of the script.
        arguments: Its arguments.
        folder: Takes what the script would record until then; whoever made it removes it.
        finish: Called once with the answer; must not return.
        steps: Steps of the whole run, for its size on disk.
        rounds: Measured steps of each arm.

    Raises:
        InputError: The script is not there, fails, or ends before the first update. Code I141.
    """
    if not script.is_file():
        raise _refused(f"no file {script}", "a Python script")
    guest = _Guest(folder, finish, steps, rounds, script.name)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    with standing_in(guest.record):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except GradledgerError as error:
            guest.conclude([Finding.of(error)])
        except SystemExit as ended:
            raise _refused(f"the script ended with {ended.code!r}", "a recorded step") from ended
        except Exception as error:
            raise _refused(f"{type(error).__name__}: {error}", "a recorded step") from error
    raise _refused("the script ended", "gl.record, then a step with optimizer.step() inside")


class _Guest:
    """What stands in for ``gl.record`` while a script is examined."""

    def __init__(
        self, folder: Path, finish: Finish, steps: int | None, rounds: int, name: str
    ) -> None:
        self._folder, self._finish, self._name = folder, finish, name
        self._plan = Plan(steps=steps, rounds=rounds)
        self._called: tuple[nn.Module, optim.Optimizer] | None = None
        self._early: list[Finding] = []
        self._facts: dict[str, Any] = {}
        self._listener: Listener | None = None

    def record(
        self,
        run_dir: str | Path,
        model: nn.Module,
        optimizer: optim.Optimizer,
        **settings: Any,
    ) -> Recorder:
        """Record into the temporary folder, and listen."""
        names = {entry.name for entry in fields(Plan)} - {"steps", "rounds", "run_dir"}
        self._plan = Plan(
            run_dir=Path(run_dir),
            steps=self._plan.steps,
            rounds=self._plan.rounds,
            **{name: value for name, value in settings.items() if name in names},
        )
        self._called = (model, optimizer)
        self._facts = {"script": self._name, "run": str(run_dir)}
        self._early = _used_directory(Path(run_dir), settings)
        try:
            with standing_in(None):
                # What is thrown away is not shown to witnesses.
                settings |= {"witnesses": ()}
                run = record(self._folder / "run", model, optimizer, **settings)
        except GradledgerError as error:
            self.conclude([Finding.of(error)])
        self._listener = Listener(model)

        def place() -> tuple[int, int] | None:
            step = run.open_step
            if step is None or not step.micro_batches:
                return None
            return len(step.micro_batches), len(step.micro_batches[-1])

        self._listener.follow(place)
        optimizer.register_step_pre_hook(lambda *_: self._at_update(run))
        return run

    def _at_update(self, run: Recorder) -> None:
        """Answer before the first update; an update outside a step was refused before this."""
        if run.open_step is None or self._listener is None:
            return
        self._facts["admitted"] = (
            f"{int(run.examples.admitted.sum()):,} of {len(run.examples):,} examples"
        )
        self._listener.stop()
        stop = KeyboardInterrupt()
        run.__exit__(type(stop), stop, None)
        self.conclude([])

    def conclude(self, findings: Sequence[Finding]) -> NoReturn:
        """Examine with all that is known, and finish."""
        if self._called is None:
            error = findings[0]
            raise _refused(f"[{error.code}] {error.observed}", "gl.record to be called")
        model, optimizer = self._called
        bodies = self._listener.bodies() if self._listener is not None and not findings else []
        answer = examine(
            model,
            optimizer,
            bodies,
            self._plan,
            title=f"Doctor: {self._name}, {type(model).__name__} with {type(optimizer).__name__}",
            early=[*self._early, *findings],
            why_not="recording was refused before the first update"
            if findings
            else "the script does not call the model itself, or its output had no gradient",
            facts=self._facts,
        )
        self._finish(answer)


def leave(status: int) -> NoReturn:
    """End the process here: nothing of the script runs on, not even its clean-up."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _used_directory(run_dir: Path, settings: dict[str, Any]) -> list[Finding]:
    taken = run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir()))
    if not taken or settings.get("resume"):
        return []
    return [
        Finding(
            STOPS,
            str(run_dir),
            "the directory of the run exists and holds something",
            "choose another directory; runs are never overwritten",
            "S101",
        )
    ]


def _refused(observed: str, expected: str) -> InputError:
    return InputError(
        "I141",
        observed=observed,
        expected=expected,
        where="gradledger doctor",
        hint="run the script by itself first; or examine a function: "
        "gradledger doctor package.module:function",
    )
