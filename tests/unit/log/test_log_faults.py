"""Every call that touches the disk fails in turn, or is the last one of a killed process.

After each, the log opens again, holds every leaf that ``append`` took, and verifies.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradledger.errors import StorageError
from gradledger.log import Log, LogReader, SigningKey, load_key, save_key
from gradledger.verify import check_log

ORIGIN = "example.org/runs/1"
CALLS = ("open", "write", "fsync", "replace", "ftruncate")


class Killed(BaseException):
    """Stands for a process that ends here."""


class FailingDisk:
    def __init__(self, patch: pytest.MonkeyPatch, fail_at: int, error: type[BaseException]) -> None:
        self.num_calls, self._fail_at, self._error, self.dead = 0, fail_at, error, False
        for name in CALLS:
            patch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.num_calls += 1
            # A killed process does nothing any more, not even cleaning up.
            if self.num_calls > self._fail_at and (self._error is Killed or not self.dead):
                self.dead = True
                raise self._error(28, "No space left on device")
            return call(*args, **kwargs)

        return counted


@pytest.mark.slow
@pytest.mark.parametrize("error", [OSError, Killed])
@pytest.mark.parametrize("start", [3, 254])
def test_every_failure(
    tmp_path: Path, key: SigningKey, fill, error: type[BaseException], start: int
) -> None:
    save_key(key, tmp_path / "key")
    (tmp_path / "first").mkdir()
    with Log.create(tmp_path / "first", ORIGIN, load_key(tmp_path / "key")) as log:
        fill(log, start)
    memory = tmp_path / "key.signed"
    shutil.copytree(memory, tmp_path / "memory")
    num_failures = 0
    for place in range(200):
        run_dir = tmp_path / f"run{place}"
        shutil.copytree(tmp_path / "first", run_dir)
        shutil.rmtree(memory)
        shutil.copytree(tmp_path / "memory", memory)
        own = load_key(tmp_path / "key")
        taken: list[bytes] = []
        log = Log.open(run_dir, own)
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, place, error)
            try:
                grow(log, taken)
            except (StorageError, Killed):
                num_failures += 1
        log.close()
        if not disk.dead:
            break
        check_after(run_dir, own, taken, start)
        shutil.rmtree(run_dir)
    else:
        pytest.fail("the disk never stopped failing")
    assert num_failures >= 20


def grow(log: Log, taken: list[bytes]) -> None:
    for step in range(4):
        leaf = b'{"leaf":%d}' % step
        log.append(leaf)
        taken.append(leaf)
        if step % 2:
            log.publish()


def check_after(run_dir: Path, key: SigningKey, taken: list[bytes], start: int) -> None:
    size = LogReader(run_dir).size
    assert start <= size <= start + 4
    codes = {finding.code for finding in check_log(run_dir, [key.verifier])}
    assert codes <= {"V201", "V903"}, codes  # the short leaves here are none of the schema's
    with Log.open(run_dir, key) as log:
        assert log.size >= start + len(taken)
        log.append(b"after")
        log.publish()
    leaves = list(LogReader(run_dir).leaves())
    assert leaves[start : start + len(taken)] == taken
    assert leaves[-1] == b"after"
    codes = {finding.code for finding in check_log(run_dir, [key.verifier])}
    assert codes <= {"V201"}, codes
