"""Rooms stay small enough to live in."""

from __future__ import annotations

import ast
from pathlib import Path

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 80
FORBIDDEN_STEMS = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}


def test_files_are_at_most_300_lines(root: Path) -> None:
    long = {}
    for folder in ("src", "tests", "benchmarks", "scripts"):
        for path in (root / folder).rglob("*.py"):
            num_lines = len(path.read_text(encoding="utf-8").splitlines())
            if num_lines > MAX_FILE_LINES:
                long[str(path.relative_to(root))] = num_lines
    assert not long


def test_functions_fit_a_screen_besides_their_docstring(sources) -> None:
    long = {}
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0]
                if ast.get_docstring(node) is not None and len(node.body) > 1:
                    first = node.body[1]
                num_lines = (node.end_lineno or 0) - first.lineno + 1
                if num_lines > MAX_FUNCTION_LINES:
                    long[f"{source.name}:{node.name}"] = num_lines
    assert not long


def test_modules_are_named_for_what_they_hold(sources) -> None:
    shapeless = [
        source.name
        for source in sources
        if {part.strip("_") for part in source.path.with_suffix("").parts} & FORBIDDEN_STEMS
    ]
    assert not shapeless


def test_package_init_files_only_export(sources) -> None:
    """No logic hides in a room's front door; the root's lazy loader is the exception."""
    busy = [
        f"{source.name}:{node.name}"
        for source in sources
        if source.path.name == "__init__.py" and source.name != "__init__.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        or (isinstance(node, ast.FunctionDef) and node.name not in {"__getattr__", "__dir__"})
    ]
    assert not busy
