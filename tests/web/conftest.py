"""A real demonstration run, its pages in a real browser, and rules that hold on every page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
RUN = "demo-tiny"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@dataclass
class Served:
    """A server of the pages, in a process of its own."""

    folder: Path
    address: str
    process: subprocess.Popen[str]

    @property
    def base(self) -> str:
        return re.match(r"http://[^/]+", self.address)[0]


@dataclass
class Watched:
    """A page of a browser with what went wrong on it."""

    page: Any
    base: str
    problems: list[str] = field(default_factory=list)

    def open(self, path: str) -> Any:
        answer = self.page.goto(self.base + path)
        self.page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
        return answer

    def run(self, page: str) -> Any:
        return self.open(f"/run/{RUN}/{page}")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the smallest demonstration, or take the folder that GRADLEDGER_DEMO names."""
    if os.environ.get("GRADLEDGER_DEMO"):
        return Path(os.environ["GRADLEDGER_DEMO"])
    folder = tmp_path_factory.mktemp("pages")
    (folder / ".cache").symlink_to(ROOT / ".cache")
    answer = subprocess.run(
        [sys.executable, "-m", "gradledger.cli.main", "demo", "--size", "tiny"],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]
    return folder


def serve(folder: Path, cwd: Path) -> Served:
    """Start a server and wait for the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gradledger.cli.main", "serve", str(folder), "--port", "0",
         "--content", str(ROOT / ".cache" / "wheels")],
        cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb"},
    )  # fmt: skip
    line = process.stderr.readline()
    assert "token=" in line, line
    return Served(folder, line.split()[-1], process)


def stop(served: Served) -> None:
    served.process.terminate()
    served.process.communicate(timeout=30)


@pytest.fixture(scope="session")
def served(demo: Path) -> Iterator[Served]:
    started = serve(demo / "runs", demo)
    yield started
    stop(started)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Debian's chromium is not installed: apt install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return request.param


def watch(browser: Any, served: Served, **options: Any) -> Watched:
    """Open a page that has the token, and note whatever goes wrong on it."""
    context = browser.new_context(viewport={"width": 1360, "height": 900}, **options)
    page = context.new_page()
    watched = Watched(page, served.base)
    page.on("console", lambda message: _note(watched, message))
    page.on("pageerror", lambda error: watched.problems.append(f"error: {error}"))
    page.on("request", lambda request: _check_host(watched, request.url))
    page.on("dialog", lambda dialog: watched.problems.append(f"dialog: {dialog.message}"))
    page.goto(served.address)
    return watched


def _note(watched: Watched, message: Any) -> None:
    if message.type in {"error", "warning"}:
        watched.problems.append(f"console {message.type}: {message.text}")


def _check_host(watched: Watched, url: str) -> None:
    if not url.startswith((watched.base, "data:", "blob:")):
        watched.problems.append(f"request to {url}")


@pytest.fixture
def watched(browser: Any, served: Served) -> Iterator[Watched]:
    found = watch(browser, served)
    yield found
    found.page.context.close()
    assert not found.problems


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
