"""Faults as benchmarks measure them: a short seeded sample here, all of it in the soak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import json, sys
from importlib import import_module
figures = import_module(f"benchmarks.{sys.argv[1]}").measure(*map(int, sys.argv[2:]))
print(json.dumps([(item.key, item.value, item.ok, item.caveat) for item in figures]))
"""
#: Benchmark -> arguments of a sample.
SAMPLES = {
    "bench_log_disk_full": ["4"],
    "bench_log_flips": ["60", "12"],
    "bench_log_kills": ["4"],
    "bench_log_tampering": [],
    "bench_log_tree": ["24", "2"],
    "bench_log_write_faults": ["80"],
}


def measured(name: str, *given: str) -> list[tuple[str, float, bool | None, str]]:
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", CODE, name, *given],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample(name: str) -> None:
    rows = measured(name, *SAMPLES[name])
    assert [row for row in rows if row[2] is False] == []
    assert sum(row[2] is True for row in rows) >= 3


#: Benchmark -> its arguments where all of it is run.
WHOLE = {
    "bench_log_disk_full": [50],
    "bench_log_flips": [20_000, 2_000],
    "bench_log_kills": [300],
    "bench_log_tampering": [],
    "bench_log_tree": [300, 60],
}


@pytest.mark.soak
@pytest.mark.parametrize("name", WHOLE)
def test_all_of_it(name: str, soaked: Callable[[int], int]) -> None:
    rows = measured(name, *(str(max(2, soaked(count))) for count in WHOLE[name]))
    assert [row for row in rows if row[2] is False] == []


@pytest.mark.soak
def test_every_fault_of_a_write(soaked: Callable[[int], int]) -> None:
    rows = measured("bench_log_write_faults", str(400 // soaked(400)))
    assert [row for row in rows if row[2] is False] == []
