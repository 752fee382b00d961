"""Timeline and matrix as commands, with the picture beside the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_run import Truth

import gradledger as gl
from gradledger.cli.main import main


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (["timeline", "--by", "source", "--windows", "4"], {"by": "source", "windows": 4}),
        (["matrix", "--rows", "group", "--columns", "license"],
         {"rows": "group", "columns": "license"}),
    ],
)  # fmt: skip
def test_commands_say_what_the_methods_say(
    words: list[str], call: dict[str, object], truth: Truth, capsys: pytest.CaptureFixture[str]
) -> None:
    question, *options = words
    assert main([question, str(truth.path), *options, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    with gl.open(truth.path) as ledger:
        assert said == getattr(ledger, question)(**call).to_dict()


def test_a_picture_is_written_beside_the_table(
    truth: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for question in ("timeline", "matrix"):
        path = tmp_path / f"{question}.png"
        assert main([question, str(truth.path), "--plot", str(path)]) == 0
        assert path.read_bytes().startswith(b"\x89PNG")
        assert question in capsys.readouterr().out.lower()
    assert main(["matrix", str(truth.path), "--plot", str(tmp_path / "a.bmp")]) == 2
    assert "[Q110]" in capsys.readouterr().err
