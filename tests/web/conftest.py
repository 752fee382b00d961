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

sys.path.insert(0, str(Path(__file__).parent))

from tally import TALLY, tell

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
RUN = "demo-tiny"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def pytest_sessionfinish() -> None:
    tell()


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
        TALLY["pages"] += 1
        answer = self.page.goto(self.base + path)
        self.page.wait_for_function("document.documentElement.dataset.ready === 'yes'")
        return answer

    def run(self, page: str) -> Any:
        return self.open(f"/run/{RUN}/{page}")


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the smallest demonstration, or the folder that GRADLEDGER_DEMO names."""
    if os.environ.get("GRADLEDGER_DEMO"):
        return Path(os.environ["GRADLEDGER_DEMO"])
    folder = tmp_path_factory.mktemp("pages")
    done, _ = request.getfixturevalue("demonstration")
    shutil.copytree(done / "runs", folder / "runs")
    (folder / ".cache").symlink_to(ROOT / ".cache")
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


def watch(browser: Any, served: Served, **options: Any) -> Watched:
    """Open a page that has the token, and note whatever goes wrong on it."""
    context = browser.new_context(viewport={"width": 1360, "height": 900}, **options)
    page = context.new_page()
    watched = Watched(page, served.base)
    page.on("console", lambda message: _note(watched, message))
    page.on("pageerror", lambda error: _problem(watched, "console", f"error: {error}"))
    page.on("request", lambda request: _check_host(watched, request.url))
    page.on("dialog", lambda dialog: _problem(watched, "console", f"dialog: {dialog.message}"))
    page.goto(served.address)
    return watched


def _note(watched: Watched, message: Any) -> None:
    if message.type in {"error", "warning"}:
        _problem(watched, "console", f"console {message.type}: {message.text}")


def _check_host(watched: Watched, url: str) -> None:
    if not url.startswith((watched.base, "data:", "blob:")):
        _problem(watched, "foreign", f"request to {url}")


def _problem(watched: Watched, kind: str, words: str) -> None:
    TALLY[kind] += 1
    watched.problems.append(words)


@pytest.fixture(scope="session")
def windows(browser: Any, served: Served) -> Iterator[dict[str, Watched]]:
    """One window each for light, dark, and without scripts: opened once, for every page."""
    opened = {
        "light": watch(browser, served, color_scheme="light"),
        "dark": watch(browser, served, color_scheme="dark"),
        "plain": watch(browser, served, java_script_enabled=False),
    }
    yield opened
    for found in opened.values():
        found.page.context.close()


@pytest.fixture
def shared(windows: dict[str, Watched]) -> Iterator[dict[str, Watched]]:
    """The windows, watched for this test alone."""
    for found in windows.values():
        found.problems.clear()
    yield windows
    assert not [problem for found in windows.values() for problem in found.problems]


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
