"""Every parser under changed and random bytes answers or refuses, in time and within memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.fuzz_material import make_material
from benchmarks.fuzz_parser import MEMORY_BYTES, fuzz
from benchmarks.fuzz_targets import names

#: Seconds per parser in the soak, where all of it is run.
SECONDS = 600
#: Sets them whatever share of the soak is run.
VARIABLE = "GRADLEDGER_FUZZ_SECONDS"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    make_material(folder)
    return folder


def check(name: str, material: Path, seconds: float, seed: int) -> None:
    found = fuzz(name, material, seconds, seed)
    assert found.failures == []
    assert found.inputs > 0
    assert found.peak_growth_mb * (1 << 20) <= MEMORY_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_a_short_sample(name: str, material: Path) -> None:
    check(name, material, 1.0, 0)


@pytest.mark.soak
@pytest.mark.parametrize("name", names())
def test_long(name: str, material: Path, soaked: Callable[[int], int]) -> None:
    check(name, material, float(os.environ.get(VARIABLE, soaked(SECONDS))), 1)
