"""The synthetic run, written once per session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Test folders are no packages: the writers of the run are found through their folder.
sys.path.insert(0, str(Path(__file__).parents[1] / "query"))

from make_run import Truth, make_run

from gradledger.query import Records, open_records


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return make_run(tmp_path_factory.mktemp("synthetic") / "run")


@pytest.fixture(scope="session")
def records(truth: Truth) -> Records:
    return open_records(truth.path)
