"""States of a replay itself: where it goes on after a kill, once it has left the recorded run.

They lie beside the result that the replay will have, and go when it is there. What a journal has
found so far lies beside each state. Two processes may execute the same replay at once; the second
keeps no states.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.errors import GradledgerError, StorageError
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.resume_point import stored_steps
from gradledger.recorder.states import state_name, store
from gradledger.segment import RunLock, ensure_folder, read_json, write_json
from gradledger.state.torch_state import read_state, training_fingerprint

#: Wall seconds between two states of a replay.
EVERY_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Kept:
    """A state of a replay.

    Attributes:
        step: Steps that it has behind it.
        folder: The state.
        notes: What the journal had found.
    """

    step: int
    folder: Path
    notes: dict[str, Any]


class Keeper:
    """Keeps the last state of one replay.

    Args:
        folder: Where; made when it is needed.
        every_seconds: Wall seconds between two states.
    """

    def __init__(self, folder: Path, every_seconds: float = EVERY_SECONDS) -> None:
        self._folder, self._every = folder, every_seconds
        self._last = time.monotonic()
        self._lock: RunLock | None = None

    def __enter__(self) -> Keeper:
        """Take the folder, unless another process has it."""
        ensure_folder(self._folder)
        with suppress(StorageError):
            self._lock = RunLock(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            self._lock.release()

    def find(self) -> Kept | None:
        """Return the last state that is whole; None where there is none."""
        for step in reversed(stored_steps(self._folder) if self._lock is not None else []):
            folder = self._folder / state_name(step)
            with suppress(GradledgerError):
                read_state(folder)
                return Kept(step, folder, dict(read_json(self._notes(step))))
        return None

    def between_steps(self, recorder: Recorder, notes: Mapping[str, Any]) -> None:
        """Store a state where one is due."""
        if self._lock is None or time.monotonic() - self._last < self._every:
            return
        step = recorder.num_steps
        if step in (before := stored_steps(self._folder)):
            return
        write_json(self._notes(step), dict(notes))
        fingerprint = training_fingerprint(recorder.model, recorder.optimizer)
        store(self._folder, recorder, {"fingerprint": fingerprint})
        for old in before:
            shutil.rmtree(self._folder / state_name(old), ignore_errors=True)
            self._notes(old).unlink(missing_ok=True)
        self._last = time.monotonic()

    def clear(self) -> None:
        """Remove everything: the result is there."""
        if self._lock is not None:
            for part in ("states", "notes"):
                shutil.rmtree(self._folder / part, ignore_errors=True)

    def _notes(self, step: int) -> Path:
        return self._folder / "notes" / f"step={step}.json"
