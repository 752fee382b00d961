"""The user's own script as what is executed again: started as it is, with one variable more.

The script runs in a process of its own, with the command that trained the model. Whatever launcher
stands before it, the environment variable ``GRADLEDGER_REPLAY`` reaches its call of ``gl.record``,
which finds there what is asked of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from gradledger.canon import parse_json
from gradledger.errors import (
    GradledgerError,
    InputError,
    LogError,
    QueryError,
    ReplayError,
    StorageError,
)

VARIABLE: Final = "GRADLEDGER_REPLAY"

#: Called with the step that ended and the last one.
Progress = Callable[[int, int], None]

_LOOK_SECONDS: Final = 0.1
_KINDS: Final[dict[str, type[GradledgerError]]] = {
    kind.prefix: kind for kind in (InputError, LogError, QueryError, ReplayError, StorageError)
}


def run_script(
    run_dir: Path,
    task: Mapping[str, Any],
    command: Sequence[str],
    *,
    name: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Perform a task on a run by starting the script that recorded it.

    Args:
        run_dir: The run.
        task: Name of the task and its arguments; values that JSON knows.
        command: The command, as it is typed; its output goes where ours goes.
        name: Last part of the directory that the script records to; by default that of the run.
        progress: Called when a step has ended.

    Returns:
        What was found.

    Raises:
        ReplayError: The command cannot be started or does not call ``gl.record`` (R145), records
            another run (R143), or the run cannot be executed again as it was.
    """
    with tempfile.TemporaryDirectory(prefix="gradledger-replay-") as folder:
        request, outcome, steps = (
            Path(folder) / part for part in ("request.json", "outcome.json", "steps")
        )
        asked = {
            "run": str(run_dir.resolve()),
            "name": name or run_dir.resolve().name,
            "task": dict(task),
            "outcome": str(outcome),
            "progress": str(steps),
        }
        request.write_text(json.dumps(asked), encoding="utf-8")
        status = _run(command, request, steps, progress)
        if not outcome.is_file():
            raise ReplayError(
                "R145",
                observed=f"{' '.join(command)!r:.200} ended with status {status} and no result",
                expected="a script that calls gl.record and closes its run",
                where=str(run_dir),
                hint="run the command that recorded the run; by itself it must work too",
            )
        found = parse_json(outcome.read_bytes(), str(outcome))
    if "error" in found:
        raise _error(found["error"])
    return dict(found["result"])


def _run(
    command: Sequence[str], request: Path, steps: Path, progress: Progress | None
) -> int | str:
    """Run the command to its end and tell of its steps meanwhile."""
    environment = {**os.environ, VARIABLE: str(request)}
    try:
        process = subprocess.Popen(list(command), env=environment)  # noqa: S603 - what the user typed
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    try:
        while process.poll() is None:
            time.sleep(_LOOK_SECONDS)
            _tell(steps, progress)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    _tell(steps, progress)
    return process.returncode


def _tell(steps: Path, progress: Progress | None) -> None:
    if progress is None:
        return
    with suppress(OSError, ValueError):  # Not there yet, or half written.
        step, num_steps = map(int, steps.read_text("utf-8").split())
        progress(step, num_steps)


def _error(parts: Mapping[str, Any]) -> GradledgerError:
    """Return the error that the other process met."""
    code = str(parts["code"])
    kind = _KINDS.get(code[:1], ReplayError)
    rest = {name: str(parts[name]) for name in ("observed", "expected", "where", "hint")}
    if kind.prefix != code[:1]:
        return ReplayError("R145", **{**rest, "observed": f"[{code}] {rest['observed']}"})
    return kind(code, **rest)
