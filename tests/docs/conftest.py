"""The documents: pages, headings and fenced blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
NOTE = re.compile(r"<!--\s*(.*?)\s*-->\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block, with the comment that stands before it, if any."""

    language: str
    text: str
    line: int
    note: str


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    def blocks(self) -> list[Block]:
        found = []
        for match in FENCE.finditer(self.text):
            before = NOTE.search(self.text[: match.start()].rstrip())
            line = self.text.count("\n", 0, match.start(2)) + 1
            found.append(
                Block(match.group(1), match.group(2), line, before.group(1) if before else "")
            )
        return found

    def prose(self) -> str:
        """The page without its fenced blocks."""
        return FENCE.sub("", self.text)

    def headings(self) -> list[str]:
        return re.findall(r"^#+ (.+?)\s*$", self.prose(), re.MULTILINE)

    def section(self, heading: str) -> str:
        """Text below a heading, up to the next one."""
        start = re.search(rf"^#+ {re.escape(heading)}\s*$", self.text, re.MULTILINE)
        if start is None:
            return ""
        rest = self.text[start.end() :]
        end = re.search(r"^#+ ", FENCE.sub(lambda m: " " * len(m.group()), rest), re.MULTILINE)
        return rest[: end.start()] if end else rest


def _pages() -> list[Page]:
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [Page(path, path.read_text(encoding="utf-8")) for path in sorted(paths)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test with a ``page`` argument every page in turn."""
    if "page" in metafunc.fixturenames:
        pages = _pages()
        metafunc.parametrize("page", pages, ids=[page.name for page in pages])


@pytest.fixture(scope="session")
def pages() -> dict[str, Page]:
    return {page.name: page for page in _pages()}


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
