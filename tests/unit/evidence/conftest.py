"""One logged run per session; tests that change it take a copy."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

# Test folders are no packages: the maker of the run is found through its folder.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "independent"))
sys.path.insert(0, str(Path(__file__).parents[1] / "verify"))

from make_logged import Logged, make_logged
from signed_run import make_signed_run

from gradledger.log import SigningKey, load_key
from gradledger.query import Records, open_records


@pytest.fixture(scope="session")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    return make_logged(tmp_path_factory.mktemp("logged") / "run")


@pytest.fixture(scope="session")
def logged_records(logged: Logged) -> Iterator[Records]:
    records = open_records(logged.run_dir)
    yield records
    records.close()


@pytest.fixture
def copied(logged: Logged, tmp_path: Path) -> Logged:
    run_dir = tmp_path / "run"
    shutil.copytree(logged.run_dir, run_dir)
    return Logged(run_dir, logged.key, logged.verifier, logged.item)


@pytest.fixture(scope="session")
def _recorded_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_signed_run(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def recorded(_recorded_once: tuple[Path, Path], tmp_path: Path) -> tuple[Path, SigningKey]:
    """A copy of a run that the recorder itself wrote and signed, and its key."""
    run_dir = tmp_path / "recorded"
    shutil.copytree(_recorded_once[0], run_dir)
    # Each copy is a history of its own: the memory beside the key file knows of one only.
    return run_dir, replace(load_key(_recorded_once[1]), path=None)
