"""The synthetic run behind the application, asked without a browser and without a network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

# Test folders are no packages: the writers of the run are found through their folder.
sys.path.insert(0, str(Path(__file__).parents[1] / "query"))

from make_run import make_run

from gradledger.web.serve import Settings, make_site
from gradledger.web.site import Site, make_app

TOKEN = "a-token"  # noqa: S105 - opens nothing but the test


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web") / "runs"
    make_run(folder / "first")
    make_run(folder / "team" / "second", displacement=False, closed=False)
    return folder


@pytest.fixture(scope="module")
def site(runs: Path) -> Iterator[Site]:
    made = make_site(Settings(runs, work=runs.parent / "work"))
    yield made
    made.work.close()


@pytest.fixture(scope="module")
def client(site: Site) -> Iterator[TestClient]:
    with TestClient(make_app(site, TOKEN), base_url="http://127.0.0.1:8765") as found:
        found.headers["authorization"] = f"Bearer {TOKEN}"
        yield found


@pytest.fixture(scope="module")
def stranger(site: Site) -> Iterator[TestClient]:
    """A client without the token."""
    with TestClient(make_app(site, TOKEN), base_url="http://127.0.0.1:8765") as found:
        yield found
