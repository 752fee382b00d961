"""Every error code is explained, has an example, says how to mend it, and is raised somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradledger import _codes, errors

PAGE = "docs/reference/errors.md"


@pytest.mark.parametrize("code", sorted(_codes.CODES))
def test_code_is_documented(code: str, pages) -> None:
    title = _codes.CODES[code]
    section = pages[PAGE].section(f"{code}: {title}")
    assert section, f"{PAGE} lacks the heading '### {code}: {title}'"
    example = re.search(r"```text\n(.*?)```", section, re.DOTALL)
    assert example, "an example of the message is missing"
    shape = rf"\[{code}\] {re.escape(title)}: observed .+, expected .+"
    assert re.match(shape, example.group(1), re.DOTALL), f"the example is not of the form {shape}"
    assert re.search(r"^Mend: \S", section, re.MULTILINE), "'Mend: ...' is missing"
    before = section[: example.start()]
    assert len(before.split()) >= 8, "what the code means is missing"


@pytest.mark.parametrize("code", sorted(_codes.CODES))
def test_code_is_used(code: str, root: Path) -> None:
    """A code that nothing raises is a promise that nothing keeps."""
    users = [
        path
        for path in (root / "src").rglob("*.py")
        if path.name != "_codes.py" and f'"{code}"' in path.read_text(encoding="utf-8")
    ]
    assert users


def test_no_code_is_documented_that_does_not_exist(pages) -> None:
    documented = {
        heading.split(":")[0]
        for heading in pages[PAGE].headings()
        if re.match(r"[A-Z]\d{3}:", heading)
    }
    assert documented == set(_codes.CODES)


def test_codes_are_sorted_by_letter_and_number(pages) -> None:
    documented = [
        heading.split(":")[0]
        for heading in pages[PAGE].headings()
        if re.match(r"[A-Z]\d{3}:", heading)
    ]
    letters = "".join(getattr(errors, name).prefix for name in _tree_order())
    assert documented == sorted(documented, key=lambda code: (letters.index(code[0]), code))


def _tree_order() -> list[str]:
    """Class names in the order of the drawing at the top of errors.py."""
    return re.findall(r"^\s+[|`]- (\w+)", errors.__doc__ or "", re.MULTILINE)
