"""The page of the command line is the real help."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradledger.cli.main import COMMANDS, main
from gradledger.cli.reference import render
from gradledger.ledger import Ledger

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "cli.md"


def test_page_is_the_real_help() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), (
        "run: python -m gradledger.cli.reference > docs/reference/cli.md"
    )


#: Commands that run until they are stopped, and answer nothing.
SERVERS = {"serve"}


@pytest.mark.parametrize(
    "command",
    [c for c in COMMANDS if c.__name__ not in SERVERS],
    ids=lambda command: command.__name__,
)
def test_page_says_what_the_command_says(
    command: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert main([command.__name__.replace("_", "-"), "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said in " ".join(PAGE.read_text(encoding="utf-8").split())


def test_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = render()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")
    assert render() == before


#: Commands that run until they are stopped, and answer nothing.
SERVERS = {"serve"}


@pytest.mark.parametrize(
    "command",
    [c for c in COMMANDS if c.__name__ not in SERVERS],
    ids=lambda command: command.__name__,
)
def test_every_command_has_json_and_a_help(command: object) -> None:
    name = command.__name__.replace("_", "-")
    section = render().split(f"## gradledger {name}\n")[1].split("\n## ")[0]
    assert "--json" in section
    assert "Usage: gradledger" in section


#: Commands that need no run, or change one: the ledger only reads.
NO_QUESTIONS = {"check", "demo", "doctor", "forget", "runs", *SERVERS}


def test_commands_are_methods_of_the_ledger() -> None:
    names = {command.__name__ for command in COMMANDS} - NO_QUESTIONS
    assert names <= set(dir(Ledger))
