"""Every call that changes the disk fails in turn: what is there is old or new, and can go on."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gradledger as gl
from gradledger.log import check_manifest
from gradledger.segment import read_table
from gradledger.verify import check_run

ROOT = Path(__file__).resolve().parents[2]
CALLS = ("open", "write", "fsync", "replace", "rename", "mkdir", "ftruncate")
SMALL = {"epochs": 1, "record": {"state_every": 2, "seal_steps": 1}}


class FailingDisk:
    """Counts the calls that change the disk and fails at one of them, or from it on."""

    def __init__(
        self, patch: pytest.MonkeyPatch, fail_at: int | None, *, for_good: bool = False
    ) -> None:
        self.num_calls, self._fail_at, self._for_good = 0, fail_at, for_good
        for name in CALLS:
            patch.setattr(os, name, self._counted(name, getattr(os, name)))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not (args[1] & os.O_CREAT):
                return call(*args, **kwargs)
            place, self.num_calls = self.num_calls, self.num_calls + 1
            failing = self._fail_at is not None and (
                place >= self._fail_at if self._for_good else place == self._fail_at
            )
            if failing and name == "write" and len(args[1]) > 1:
                call(args[0], args[1][: len(args[1]) // 2])
            if failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return call(*args, **kwargs)

        return counted


@pytest.fixture(scope="module")
def expected(script: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], int]:
    """Weights of the undisturbed run, and how many calls it makes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        disk = FailingDisk(patch, None)
        model = script(folder / "run", **SMALL)()
    assert disk.num_calls > 200
    return script.bits(model), disk.num_calls


def fail_then_go_on(script: Any, folder: Path, place: int, *, for_good: bool) -> list[bytes] | None:
    """Run with one failing call, then resume; None where it is closed already."""
    with pytest.MonkeyPatch.context() as patch:
        disk, said = FailingDisk(patch, place, for_good=for_good), ""
        try:
            script(folder, **SMALL)()
        except gl.errors.StorageError as error:
            said = str(error)
        if disk.num_calls <= place:
            return None
        assert "S112" in said
        assert "No space left" in said
    sealed = {path: path.read_bytes() for path in folder.rglob("part-*.parquet")}
    if (folder / "end.json").exists():
        with pytest.raises(gl.errors.StorageError, match="S102"):
            script(folder, **SMALL)()
        return None
    model = script(folder, **SMALL)()
    for path, content in sealed.items():
        moved = [*folder.glob(f"orphans/*/{path.relative_to(folder)}")]
        assert any(where.exists() and where.read_bytes() == content for where in (path, *moved))
    return script.bits(model)


def check(folder: Path, found: list[bytes] | None, expected: list[bytes]) -> None:
    assert found is None or found == expected
    assert read_table(folder, "steps")["step"].to_pylist() == [1, 2, 3, 4]
    assert len(read_table(folder, "visits")) == 10
    assert check_manifest(folder) == []
    report = check_run(folder)
    assert report.is_clean, str(report)
    assert not (folder / "run.lock").exists()
    json.loads((folder / "end.json").read_text())


def places(num_calls: int) -> list[int]:
    """A sample that meets every phase of the run."""
    return sorted({*range(0, num_calls, 17), 1, 3, num_calls - 3, num_calls - 2})


@pytest.mark.slow
@pytest.mark.parametrize("for_good", [False, True])
def test_some_failing_calls(script: Any, expected: Any, tmp_path: Path, for_good: bool) -> None:
    weights, num_calls = expected
    for place in places(num_calls):
        folder = tmp_path / f"run-{place}"
        check(folder, fail_then_go_on(script, folder, place, for_good=for_good), weights)


@pytest.mark.soak
@pytest.mark.parametrize("for_good", [False, True])
def test_every_failing_call(
    script: Any, expected: Any, tmp_path: Path, for_good: bool, soaked: Callable[[int], int]
) -> None:
    weights, num_calls = expected
    for place in range(0, num_calls, num_calls // soaked(num_calls)):
        folder = tmp_path / f"run-{place}"
        check(folder, fail_then_go_on(script, folder, place, for_good=for_good), weights)


@pytest.mark.slow
def test_every_failing_call_of_a_resume(script: Any, tmp_path: Path) -> None:
    """A resume that fails anywhere is finished by the next one, and sets nothing aside twice."""
    whole = script(tmp_path / "whole", tmp_path / "cut", (4, "after the update"), **SMALL)
    weights = script.bits(whole())
    place, failures = 0, 0
    while True:
        folder = tmp_path / f"run-{place}"
        subprocess.run(["cp", "-r", str(tmp_path / "cut"), str(folder)], check=True)
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, place)
            model = whole.make_model()
            optimizer = whole.make_optimizer(model)
            settings = {"resume": True, "on_imbalance": "strict", **SMALL["record"]}
            codes = []
            try:
                run = gl.record(folder, model, optimizer, **settings)
            except gl.errors.StorageError as error:
                codes.append(error.code)
            else:
                run.__exit__(KeyError, KeyError(), None)
        assert set(codes) <= {"S112"}
        failures += len(codes)
        assert script.bits(script(folder, **SMALL)()) == weights
        with gl.open(folder) as ledger:
            orphans = [row[1] for row in ledger.orphans().tables[1].rows]
        assert orphans == [3]
        check(folder, None, weights)
        if disk.num_calls <= place:
            break
        place += 1
    assert failures >= 10


LIMITED = """
import resource, runpy, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from conftest import Script
import gradledger as gl
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    Script(Path(sys.argv[3]), epochs=1, record={"state_every": 2, "seal_steps": 1})()
except gl.errors.StorageError as error:
    print(error.code, error.observed)
"""


@pytest.mark.slow
@pytest.mark.parametrize("num_bytes", [0, 600, 3_000, 6_000])
def test_a_limit_of_the_system(script: Any, expected: Any, tmp_path: Path, num_bytes: int) -> None:
    """The kernel itself refuses to write past a length: as a full disk does, at a real call."""
    folder = tmp_path / "run"
    here = Path(__file__).parent
    answer = subprocess.run(
        [sys.executable, "-c", LIMITED, str(here), str(ROOT), str(folder), str(num_bytes)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.startswith("S112 File too large"), answer.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != num_bytes
    assert signal.getsignal(signal.SIGKILL) is signal.SIG_DFL
    check(folder, script.bits(script(folder, **SMALL)()), expected[0])
