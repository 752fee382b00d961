"""One call that changes the disk fails, or is the last of its process; then the run is resumed."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.killed_outcome import Outcome, compare
from benchmarks.killed_run import DISK_REFUSES, KEY, live, undisturbed

from gradledger.errors import GradledgerError
from gradledger.log import SigningKey, VerifierKey, save_key
from gradledger.schema import TABLES
from gradledger.segment import orphan_folders, read_json, read_segment, segment_files

CALLS = ("open", "write", "fsync", "replace", "rename", "mkdir", "unlink", "ftruncate")
#: What befalls a call: the disk refuses it, refuses it and all later ones, or the process dies.
KINDS = ("error", "error for good", "kill")
NUM_STEPS = 4

Call = Callable[..., Any]


class Faults:
    """Counts the calls of this process that change the disk, and lets one of them fail.

    Args:
        place: Which call, from 0; None for none.
        kind: One of ``KINDS``.
        told: File that takes the name of the call, once it was reached.
    """

    def __init__(self, place: int | None, kind: str, told: Path) -> None:
        self.num_calls = 0
        self._place, self._kind, self._told = place, kind, told
        self._open, self._write = os.open, os.write

    def start(self) -> None:
        """Take the place of the calls."""
        for name in CALLS:
            setattr(os, name, partial(self._call, name, getattr(os, name)))

    def _call(self, name: str, call: Call, *given: Any, **named: Any) -> Any:
        if name == "open" and not given[1] & os.O_CREAT:
            return call(*given, **named)
        number, self.num_calls = self.num_calls, self.num_calls + 1
        if self._place is None or number < self._place:
            return call(*given, **named)
        if number > self._place and self._kind != "error for good":
            return call(*given, **named)
        if number == self._place:
            descriptor = self._open(self._told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            self._write(descriptor, name.encode())
            os.close(descriptor)
        if name == "write" and len(given[1]) > 1:
            call(given[0], given[1][: len(given[1]) // 2])
        if self._kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass
class Faulty:
    """What came of failing calls.

    Attributes:
        calls: How often each kind of call failed.
        refused: Lives that ended with the clear error of a disk that refuses.
        torn: Files that were neither old nor new when the life had ended.
        unclear: Lives that ended otherwise than with that error, done, or killed.
        outcomes: Of the runs after their resume.
    """

    calls: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    torn: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


def prepare(folder: Path) -> VerifierKey:
    """Write the key and the undisturbed run; return the key that verifies."""
    folder.mkdir(parents=True, exist_ok=True)
    key = SigningKey.generate("benchmarks.test/faulty")
    save_key(key, folder / KEY)
    undisturbed(folder / "undisturbed", NUM_STEPS)
    return key.verifier


def fail(
    folder: Path, place: int, kind: str, trusted: Sequence[VerifierKey], found: Faulty
) -> bool:
    """Let one call fail, resume, and compare; false where the run makes fewer calls than that."""
    run = folder / f"faulty-{place}"
    told = folder / "told"
    told.unlink(missing_ok=True)
    faults = Faults(place, kind, told)
    status = os.waitpid(live(run, faults.start, most_steps=NUM_STEPS), 0)[1]
    if not told.exists():
        shutil.rmtree(run)
        return False
    name = told.read_text(encoding="utf-8")
    found.calls[name] = found.calls.get(name, 0) + 1
    found.torn += [f"{name} {place} {kind}: {item}" for item in torn_files(run / "run")]
    outcome = Outcome()
    if os.WIFSIGNALED(status):
        outcome.killed(run / "run")
    elif os.waitstatus_to_exitcode(status) == DISK_REFUSES:
        outcome.note_sealed(run / "run")
        found.refused += 1
    elif status:
        errors = (run / "errors.txt").read_text(encoding="utf-8").strip().splitlines()
        found.unclear.append(f"{name} {place} {kind}: {errors[-1]:.200}")
    status = os.waitpid(live(run, most_steps=NUM_STEPS), 0)[1]
    if status:
        raise RuntimeError((run / "errors.txt").read_text(encoding="utf-8"))
    found.outcomes.append(compare(run, folder / "undisturbed", NUM_STEPS, outcome, trusted))
    shutil.rmtree(run)
    return True


def torn_files(run: Path) -> list[str]:
    """Return segments and documents under their names that are not whole."""
    torn = []
    folders = [run, *orphan_folders(run).values()]
    segments = [
        path for folder in folders for table in TABLES for path in segment_files(folder, table)
    ]
    documents = [path for path in run.rglob("*.json") if not path.name.startswith(".")]
    pairs: list[tuple[Call, list[Path]]] = [(read_segment, segments), (read_json, documents)]
    for read, paths in pairs:
        for path in paths:
            try:
                read(path)
            except GradledgerError as error:
                torn.append(f"{path.relative_to(run)}: {error.observed:.100}")
    return torn
