"""Public names, make targets and commands that the documents mention exist, and the reverse."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import gradledger


@pytest.mark.parametrize("name", gradledger.__all__)
def test_public_name_is_documented(name: str, pages) -> None:
    page = pages["docs/reference/python.md"]
    assert any(heading.startswith(f"`gradledger.{name}`") for heading in page.headings())


def test_public_errors_are_documented(pages) -> None:
    text = pages["docs/reference/python.md"].text + pages["docs/reference/errors.md"].text
    missing = [name for name in gradledger.errors.__all__ if f"`{name}`" not in text]
    assert not missing


@pytest.mark.parametrize("name", ["Recorder", "Ledger"])
def test_public_methods_are_documented(name: str, pages) -> None:
    """Each public method stands on the page, and each has a docstring."""
    text = pages["docs/reference/python.md"].text
    kind = getattr(gradledger, name)
    methods = [method for method in vars(kind) if not method.startswith("_")]
    assert methods
    undocumented = [method for method in methods if f".{method}" not in text]
    assert not undocumented
    silent = [
        method
        for method in methods
        if callable(getattr(kind, method)) and not getattr(kind, method).__doc__
    ]
    assert not silent


def test_make_targets_that_are_mentioned_exist(pages, root: Path) -> None:
    targets = _targets(root)
    mentioned = {
        target
        for page in pages.values()
        for target in re.findall(r"(?:`|\$ )make ([a-z-]+)", page.text)
    }
    assert mentioned <= targets
    assert {"demo", "test"} <= mentioned


def test_make_help_names_every_target(root: Path) -> None:
    answer = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    shown = set(re.findall(r"^\s+make ([a-z-]+)\s+\S", answer.stdout, re.MULTILINE))
    assert shown == _targets(root)


def _targets(root: Path) -> set[str]:
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    return set(phony.group(1).split())
