"""Every block of the documents runs.

Blocks marked ``python`` run in page order in one namespace and one empty folder. ``console`` blocks
run when the comment ``<!-- run -->`` stands before them; their shown output must appear, in order,
with ``...`` for whatever varies. A ``python`` block is left out only by ``<!-- not run: why -->``.
Warnings are errors, but in blocks with ``<!-- warnings of the framework: why -->`` before them.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

KNOWN_LANGUAGES = {"", "console", "json", "python", "sql", "text", "toml", "yaml"}


def test_blocks_run(page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in page.blocks():
        if block.language == "python" and not block.note.startswith("not run:"):
            # Blank lines in front make tracebacks point into the page.
            code = compile("\n" * (block.line - 1) + block.text, page.name, "exec")
            with warnings.catch_warnings():
                if block.note.startswith("warnings of the framework:"):
                    warnings.simplefilter("ignore")
                exec(code, namespace)  # noqa: S102
        elif block.language == "yaml" and block.note.startswith("file:"):
            Path(block.note.removeprefix("file:").strip()).write_text(block.text, encoding="utf-8")
        elif block.language == "console" and block.note == "run":
            _run_console(block.text)


def _run_console(text: str) -> None:
    """Run each ``$ command`` and look for the output that is shown below it."""
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}
    environment["PATH"] = str(Path(sys.executable).parent) + os.pathsep + environment["PATH"]
    for part in ("\n" + text).split("\n$ ")[1:]:
        command, _, shown = part.partition("\n")
        answer = subprocess.run(
            shlex.split(command), env=environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, f"{command}: {answer.stderr}"
        place = 0
        for line in shown.splitlines():
            for piece in filter(None, (piece.strip() for piece in line.split("..."))):
                found = answer.stdout.find(piece, place)
                assert found >= 0, f"{command} does not print {piece!r} there:\n{answer.stdout}"
                place = found + len(piece)


def test_languages_are_known(page) -> None:
    """A misspelt language would silently not run."""
    assert {block.language for block in page.blocks()} <= KNOWN_LANGUAGES


def test_blocks_left_out_say_why(page) -> None:
    for block in page.blocks():
        if block.note.startswith("not run"):
            assert len(block.note.removeprefix("not run:").split()) >= 3, f"line {block.line}"


def test_fences_are_closed(page) -> None:
    assert sum(line.startswith("```") for line in page.text.splitlines()) % 2 == 0
