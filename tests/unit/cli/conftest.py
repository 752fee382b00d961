"""The synthetic run, written once per session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Test folders are no packages: the writers of the run are found through their folder.
sys.path.insert(0, str(Path(__file__).parents[1] / "query"))

from make_run import Truth, make_run


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return make_run(tmp_path_factory.mktemp("synthetic") / "run")
