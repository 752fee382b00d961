"""One writer per run: a lock that the operating system releases when its holder dies."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import weakref
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from gradledger.canon import parse_json
from gradledger.errors import InputError, StorageError
from gradledger.segment.files import cannot_write

#: Name of the lock file in a run; it is there while someone writes, or after a crash.
LOCK_NAME: Final = "run.lock"

_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


class RunLock:
    """The right to write a run, held from construction until ``release``.

    The lock is advisory and the kernel's own (``flock``), so a killed holder leaves none behind;
    the file's content only says who holds it. Across machines it is as good as the file system's
    support for ``flock``.

    Args:
        run_dir: The run; must exist.

    Raises:
        StorageError: A living writer holds the run (S111), or the file cannot be written (S112).
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = Path(run_dir) / LOCK_NAME
        self._pid = os.getpid()
        self._descriptor = -1
        try:
            self._descriptor = self._acquire()
            self._describe()
        except OSError as error:
            self._close()
            raise cannot_write(self._path, error) from error
        _held.add(self)

    @property
    def held(self) -> bool:
        """Whether this process still holds the run."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Let go of the run and remove the file. A second call does nothing."""
        if self._descriptor >= 0 and os.getpid() == self._pid:
            # Removed while still locked: whoever opened it meanwhile sees that it is gone.
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._close()
        _held.discard(self)

    def _acquire(self) -> int:
        # Windows has no fcntl; auditing there must not fail at import.
        fcntl: Any = importlib.import_module("fcntl")
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(descriptor, self._path):
                    return descriptor
            except BlockingIOError as error:
                holder = _holder(descriptor)
                os.close(descriptor)
                raise StorageError(
                    "S111",
                    observed=f"a living writer: {holder}",
                    expected="one writer at a time",
                    where=str(self._path.parent),
                    hint="let it finish or stop it; choose another directory for another run",
                ) from error
            except OSError:
                os.close(descriptor)
                raise
            # The holder before removed the file between our opening and locking it.
            os.close(descriptor)

    def _describe(self) -> None:
        record = {
            "host": socket.gethostname(),
            "pid": self._pid,
            "started": datetime.now(UTC).isoformat(),
        }
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{json.dumps(record)}\n".encode())

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def __enter__(self) -> RunLock:
        """Hold the run for a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release, whatever happened."""
        self.release()


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def _holder(descriptor: int) -> str:
    try:
        record = parse_json(os.pread(descriptor, 4096, 0))
        return f"process {record['pid']} on {record['host']} since {record['started']}"
    except (InputError, KeyError, TypeError):
        return "a process that has not said its name"


def _forget_in_child() -> None:
    """A forked worker shares the lock; it must not keep the run locked after its parent died."""
    for lock in list(_held):
        lock._close()  # noqa: SLF001
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
