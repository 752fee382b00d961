from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gradledger.errors import StorageError
from gradledger.segment import LOCK_NAME, RunLock

HOLD = """
import sys, time
from pathlib import Path
from gradledger.segment import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""

FORK = """
import os, sys, time
from pathlib import Path
from gradledger.segment import RunLock
lock = RunLock(Path(sys.argv[1]))
ready, say = os.pipe()
child = os.fork()
if child == 0:
    lock.release()
    os.write(say, b"!")
    time.sleep(60)
os.read(ready, 1)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def holder(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_file_says_who_holds_the_run_and_goes_with_the_lock(tmp_path: Path) -> None:
    with RunLock(tmp_path) as lock:
        record = json.loads((tmp_path / LOCK_NAME).read_text())
        assert record["pid"] == os.getpid()
        assert record.keys() == {"host", "pid", "started"}
        assert lock.held
    assert not lock.held
    assert not list(tmp_path.iterdir())


def test_a_second_writer_in_this_process_is_refused(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        with pytest.raises(StorageError) as caught:
            RunLock(tmp_path)
        assert caught.value.code == "S111"
        assert f"process {os.getpid()} on" in caught.value.observed
    RunLock(tmp_path).release()


def test_releasing_twice_leaves_the_next_holder_alone(tmp_path: Path) -> None:
    first = RunLock(tmp_path)
    first.release()
    with RunLock(tmp_path):
        first.release()
        with pytest.raises(StorageError, match="S111"):
            RunLock(tmp_path)


def test_another_process_is_refused_until_it_is_killed(tmp_path: Path, holder) -> None:
    with pytest.raises(StorageError, match=f"process {holder.pid} on"):
        RunLock(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK_NAME).exists()
    with RunLock(tmp_path):
        assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()


def test_a_forked_worker_neither_frees_nor_keeps_the_run(tmp_path: Path) -> None:
    """Workers of a loader are forked while the run is held; they may outlive a killed parent."""
    worker = _run_fork(tmp_path)
    try:
        assert (tmp_path / LOCK_NAME).exists()
        RunLock(tmp_path).release()
    finally:
        os.kill(worker, signal.SIGKILL)


def _run_fork(run_dir: Path) -> int:
    with subprocess.Popen(
        [sys.executable, "-c", FORK, str(run_dir)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.wait()
    return child


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="S112"):
        RunLock(tmp_path / "absent")
