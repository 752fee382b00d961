"""Links between the documents lead somewhere, and every page is reached."""

from __future__ import annotations

import re
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")


def _anchor(heading: str) -> str:
    words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return words.strip().replace(" ", "-")


def _targets(page) -> list[tuple[Path, str]]:
    found = []
    for link in LINK.findall(page.prose()):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        found.append(((page.path.parent / name).resolve() if name else page.path, anchor))
    return found


def test_links_resolve(page, pages) -> None:
    by_path = {other.path: other for other in pages.values()}
    broken = []
    for path, anchor in _targets(page):
        if not path.exists():
            broken.append(str(path))
        elif anchor and path in by_path:
            anchors = {_anchor(heading) for heading in by_path[path].headings()}
            if anchor not in anchors:
                broken.append(f"{path}#{anchor}")
    assert not broken


def test_every_page_below_docs_is_linked_from_the_index(pages, root: Path) -> None:
    linked = {path for path, _ in _targets(pages["docs/index.md"])}
    lost = [
        name
        for name, page in pages.items()
        if name.startswith("docs/") and name != "docs/index.md" and page.path not in linked
    ]
    assert not lost


def test_decisions_are_short_numbered_and_of_one_form(pages) -> None:
    decisions = [page for name, page in pages.items() if name.startswith("docs/decisions/")]
    assert [page.path.name[:4] for page in decisions] == [
        f"{number:04d}" for number in range(1, len(decisions) + 1)
    ]
    for page in decisions:
        assert page.headings()[0].startswith(page.path.name[:4])
        assert page.headings()[1:] == ["Context", "Decision", "Price"], page.name
        assert len(page.text.splitlines()) <= 40, page.name
