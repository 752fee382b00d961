"""A real script is killed with SIGKILL at seeded moments and resumed until it is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

SECOND_WRITER = """
import sys
from pathlib import Path
import torch
import gradledger as gl
model = torch.nn.Linear(2, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
try:
    gl.record(sys.argv[1], model, optimizer, resume=True)
except gl.errors.StorageError as error:
    print(error.code, error.observed)
"""


def killed(*arguments: str) -> list[dict[str, Any]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    answer = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "killed_run.py"), *arguments],
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return list(json.loads(answer.stdout))


def assert_nothing_lost(outcomes: list[dict[str, Any]], num_kills: int) -> None:
    assert sum(outcome["kills"] for outcome in outcomes) >= num_kills
    for outcome in outcomes:
        assert (outcome["lost"], outcome["doubled"], outcome["unbalanced"]) == (0, 0, 0)
        assert outcome["unequal"] == []
        assert (outcome["errors"], outcome["lost_segments"]) == (0, 0)
        assert [text for text in outcome["findings"] if not text.startswith("[V9")] == []


@pytest.mark.slow
def test_a_few_kills() -> None:
    assert_nothing_lost(killed("--kills", "5", "--most-per-run", "3", "--seed", "4"), 5)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_a_hundred_kills(seed: int, soaked: Callable[[int], int]) -> None:
    kills = soaked(100)
    assert_nothing_lost(killed("--kills", str(kills), "--seed", str(seed)), kills)


@pytest.mark.slow
def test_a_second_process_is_refused(script: Any, tmp_path: Path) -> None:
    """The lock is the kernel's own: it ends with its holder, whatever its file still says."""
    whole = script(tmp_path / "run")
    model = whole.make_model()
    import gradledger as gl

    command = [sys.executable, "-c", SECOND_WRITER, str(tmp_path / "run")]
    with gl.record(tmp_path / "run", model, whole.make_optimizer(model)):
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(f"S111 a living writer: process {os.getpid()} on ")
