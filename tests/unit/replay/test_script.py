"""The user's own script, executed again by its own command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import gradledger as gl
from gradledger.errors import ReplayError
from gradledger.segment import read_json

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "scripts" / "foreign.py"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data-loading workers, random augmentation, dropout, cosine schedule, accumulation."""
    folder = tmp_path_factory.mktemp("script") / "run"
    subprocess.run([sys.executable, SCRIPT, folder], check=True, stdout=2)
    return folder


def variant(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    """The command of the script with something else in it."""
    text = SCRIPT.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    place = tmp_path / "train.py"
    place.write_text(text)
    return [sys.executable, str(place), "run"]


def replay(run: Path, command: list[str], **more: Any) -> Any:
    with gl.open(run) as ledger:
        return ledger.replay(command=command, **more)


@pytest.mark.parametrize("start", [0, 6])
def test_the_script_is_the_run_from_every_state(recorded: Path, start: int) -> None:
    told: list[tuple[int, int]] = []
    saved = Path(f"{recorded}.pt").stat().st_mtime_ns
    answer = replay(
        recorded,
        # Another seed: what a script seeds is restored from the record.
        [sys.executable, str(SCRIPT), str(recorded), "9"],
        start=start,
        progress=lambda step, stop: told.append((step, stop)),
    )
    assert answer.facts["same run"] is True
    assert answer.facts["bit-identical steps"] == f"{12 - start} of {12 - start}"
    assert answer.kind == "truth"
    assert told[-1] == (12, 12)
    # Nothing behind run.close() is done again.
    assert Path(f"{recorded}.pt").stat().st_mtime_ns == saved


def test_a_killed_replay_goes_on_behind_what_it_found(recorded: Path, tmp_path: Path) -> None:
    place = recorded.with_name("run.replays") / "identical.json"
    place.unlink(missing_ok=True)
    slow = variant(
        tmp_path, ("scheduler.step()", "scheduler.step(); __import__('time').sleep(0.5)")
    )
    program = f"import gradledger as gl; gl.open({str(recorded)!r}).replay(command={slow})"
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    until = time.monotonic() + 120
    while not (place.exists() and read_json(place)["step"] >= 3) and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    known = read_json(place)["step"]
    assert 3 <= known < 12
    answer = replay(recorded, variant(tmp_path))
    assert answer.facts["executed"] == f"steps {known + 1} to 12 of 12"
    assert answer.facts["found identical before"].startswith(f"steps 1 to {known},")
    again = replay(recorded, variant(tmp_path))
    assert again.facts["executed"] == "nothing"


def test_replays_side_by_side_do_not_disturb_each_other(recorded: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "gradledger.cli.main", "replay", str(recorded), "--fresh"]
    words += ["--json", "--", *variant(tmp_path)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=300)
        found = json.loads(output[output.index("{\n") :])
        assert found["facts"]["bit-identical steps"] == "12 of 12"


@pytest.mark.parametrize(
    ("old", "new", "code", "told"),
    [
        ("(), 1.0)", "(), 0.5)", "R103", "first difference in step"),
        ("0.1 * torch.randn", "0.2 * torch.randn", "R142", "example"),
        ("range(EPOCHS)", "range(3)", "R105", "9 steps"),
        ("run = gl.record(", "run = gl.record('b' or ", "R143", "'b'"),
        (
            "    for epoch in",
            "    raise SystemExit(3)\n    for epoch in",
            "R145",
            "before run.close",
        ),
        ("    for epoch in", "    1 / 0\n    for epoch in", "R145", "ZeroDivisionError"),
        ("nn.Linear(216, 4)", "nn.Linear(216, 5)", "S122", "(4, 216)"),
        ("    run.track(", "    gl.record(run_dir, model, optimizer)\n    run.track(", "R144", ""),
    ],
)
def test_another_script_is_named(
    recorded: Path, tmp_path: Path, old: str, new: str, code: str, told: str
) -> None:
    command = variant(tmp_path, (old, new))
    with pytest.raises(gl.errors.GradledgerError) as caught:
        replay(recorded, command, fresh=True)
    assert caught.value.code == code
    assert told in caught.value.observed


def test_a_tolerance_says_what_still_holds(recorded: Path, tmp_path: Path) -> None:
    command = variant(tmp_path, ("(), 1.0)", "(), 0.999)"))
    answer = replay(recorded, command, fresh=True, tolerance=0.5)
    assert answer.facts["same run"] is False
    first = answer.facts["first differing step"]
    assert answer.facts["bit-identical steps"] == f"{first - 1} of 12"
    assert 0 < answer.facts["distance at stored states"] <= 0.5
    assert 0 < answer.facts["size of the first difference"] < 0.1
    with pytest.raises(ReplayError) as caught:
        replay(recorded, command, fresh=True, tolerance=1e-9)
    assert caught.value.code == "R103"


def test_a_command_that_cannot_be_started(recorded: Path) -> None:
    with pytest.raises(ReplayError) as caught:
        replay(recorded, ["no-such-program"], fresh=True)
    assert caught.value.code == "R145"
    assert "no-such-program" in caught.value.observed
