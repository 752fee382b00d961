"""Every finding is explained, has an example, says what to do next, and is made somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradledger.verify.catalogue import FINDINGS

PAGE = "docs/reference/findings.md"


@pytest.mark.parametrize("code", sorted(FINDINGS))
def test_finding_is_documented(code: str, pages) -> None:
    title = FINDINGS[code]
    section = pages[PAGE].section(f"{code}: {title}")
    assert section, f"{PAGE} lacks the heading '### {code}: {title}'"
    example = re.search(r"```text\n(.*?)```", section, re.DOTALL)
    assert example, "an example is missing"
    shape = rf"\[{code}\] {re.escape(title)}: observed .+, expected .+ \(.+\)\n"
    assert re.fullmatch(shape, example.group(1)), f"the example is not of the form {shape}"
    assert re.search(r"^Next: \S", section, re.MULTILINE), "'Next: ...' is missing"
    assert len(section[: example.start()].split()) >= 8, "what the code means is missing"


@pytest.mark.parametrize("code", sorted(FINDINGS))
def test_finding_is_used(code: str, root: Path) -> None:
    users = [
        path
        for path in (root / "src").rglob("*.py")
        if path.name != "_codes.py" and f'"{code}"' in path.read_text(encoding="utf-8")
    ]
    assert users


def test_the_page_has_these_findings_in_order(pages) -> None:
    documented = [
        heading.split(":")[0] for heading in pages[PAGE].headings() if re.match(r"V\d{3}:", heading)
    ]
    assert documented == sorted(FINDINGS)
