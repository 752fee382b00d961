"""One logged run per session; tests that change it take a copy."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Test folders are no packages: the maker of the run is found through its folder.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "independent"))
sys.path.insert(0, str(Path(__file__).parents[1] / "verify"))

from make_logged import Logged, make_logged
from signed_run import make_signed_run

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
def trained(tmp_path: Path) -> tuple[Path, Path]:
    """A run that was really trained and logged as it went: its folder and its key file."""
    return make_signed_run(tmp_path)


@pytest.fixture
def copied(logged: Logged, tmp_path: Path) -> Logged:
    run_dir = tmp_path / "run"
    shutil.copytree(logged.run_dir, run_dir)
    return Logged(run_dir, logged.key, logged.verifier, logged.item)
