"""Commands end to end, in process: output, streams, exit codes, hostile content."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
from make_preamble import EXAMPLES
from make_run import Truth, make_run

from gradledger import __version__
from gradledger.cli.main import main
from gradledger.errors import InputError

COMMANDS = (
    ["info"],
    ["steps", "--start", "2", "--stop", "5"],
    ["books"],
    ["books", "--group", "head", "--step", "3", "--by", "group"],
    ["trace", "--group", "blocks.1", "--top", "3"],
    ["trace", "--by", "license", "--measure", "norm"],
    ["trace", "--by", "rule", "--measure", "energy", "--order", "negative"],
    ["follow", "--example", "3"],
    ["follow", "--source", "pkg:c", "--class", "copyleft", "--by", "group"],
    ["capability"],
    ["capability", "code", "--by", "license", "--stop", "10"],
    ["capability", "code", "--group", "blocks.1", "--order", "negative", "--top", "2"],
    ["policies"],
    ["policies", "--capability", "code", "--group", "head"],
    ["decide"],
    ["decide", "7"],
    ["decide", "--license", "GPL-3.0-only"],
)


def on(truth: Truth, words: list[str]) -> list[str]:
    return [words[0], str(truth.path), *words[1:]]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_json_parses_and_has_the_same_tables_as_text(
    truth: Truth, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([*on(truth, words), "--json"])
    output = capsys.readouterr()
    answer = json.loads(output.out, parse_constant=pytest.fail)
    assert output.err == ""
    assert answer["kind"] == "accounting"
    assert answer["tables"]
    assert main(on(truth, words)) == code
    text = capsys.readouterr().out
    assert text.startswith(answer["title"])
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text


def test_books_exit_with_findings_only_where_there_are_some(truth: Truth) -> None:
    assert main(on(truth, ["books"])) == 1
    assert main(on(truth, ["books", "--group", "embed"])) == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["trace", "--group", "blocks.9"], "Q104"),
        (["trace", "--by", "nothing"], "Q105"),
        (["steps", "--stop", "21"], "Q106"),
        (["trace", "--measure", "displacement", "--start", "3"], "Q107"),
        (["follow", "--source", "pkg:z"], "Q108"),
        (["follow"], "Q110"),
        (["follow", "--where", "source"], "Q110"),
        (["follow", "--source", "pkg:a", "--where", "source=pkg:b"], "Q110"),
        (["trace", "--order", "upwards"], "Q110"),
        (["capability", "cod"], "Q121"),
        (["capability", "prose"], "Q107"),
        (["policies", "--capability", "code", "--stop", "9"], "Q107"),
        (["books", "--by", "tensor"], "Q110"),
    ],
)
def test_errors_go_to_stderr_with_code_and_hint(
    truth: Truth, words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(on(truth, words)) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"[{code}] ")
    assert main([*on(truth, words), "--json"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert json.loads(output.err)["error"]["code"] == code


@pytest.mark.parametrize("words", [["trace"], ["trace", "x", "--bogus"], ["nothing"]])
def test_usage_errors_exit_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("gradledger: ")
    assert main([*words, "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gradledger {__version__}\n"
    assert main([]) == 0
    assert "Exit codes" in capsys.readouterr().out


def test_empty_value_matches_what_is_not_recorded(
    truth: Truth, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*on(truth, ["follow", "--where", "license="]), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["facts"]
    assert facts["examples that match"] == sum(row[1] is None for row in EXAMPLES)


def test_hostile_metadata_is_shown_inert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "\x1b[2J\x07[bold red]x[/]\u202egpj.exe\r\n<script>" + "y" * 5000
    columns = {"source": [hostile] * len(EXAMPLES), "li[/]cense\n": ["MIT"] * len(EXAMPLES)}
    path = make_run(tmp_path / "run", metadata=columns).path
    for words in (
        ["info"],
        ["trace", "--by", "source"],
        ["trace"],
        ["decide", "1"],
        ["follow", "--source", hostile],
        ["follow", "--source", hostile + "z"],
    ):
        main([words[0], str(path), *words[1:]])
        output = capsys.readouterr()
        shown = output.out + output.err
        assert not set(shown) & set("\x1b\x07\u202e\r"), words
        assert "y" * 600 not in shown, words
        main([words[0], str(path), *words[1:], "--json"])
        output = capsys.readouterr()
        assert (output.out + output.err).isascii()
        assert not set(output.out + output.err) & set("\x1b\x07\r\x7f")
    main(["decide", str(path), "--source", hostile])
    assert "\\x1b[2J\\x07[bold\nred]x[/]" in capsys.readouterr().out


def test_a_closed_pipe_is_no_error(truth: Truth) -> None:
    program = (
        "import sys; from gradledger.cli.main import main; [main(sys.argv[1:]) for _ in range(50)]"
    )
    command = [sys.executable, "-c", program, "decide", str(truth.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(60) == 0


def test_demo_only_dispatches(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calls = []

    def run(*, size: str, out: Path | None) -> int:
        sys.stdout.write("progress\n")
        calls.append((size, out))
        return 0

    module = types.ModuleType("gradledger.demo.main")
    module.run = run
    monkeypatch.setitem(sys.modules, "gradledger.demo.main", module)
    assert main(["demo", "--size", "tiny", "--out", str(tmp_path), "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == {"run": str(tmp_path), "size": "tiny", "exit_code": 0}
    assert output.err == "progress\n"
    assert main(["demo"]) == 0
    assert calls == [("tiny", tmp_path), ("small", None)]


def test_demo_without_its_packages_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradledger.demo.main", None)
    assert main(["demo"]) == 2
    assert "gradledger[demo]" in capsys.readouterr().err


def test_errors_of_other_rooms_are_shown_alike(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*, size: str, out: Path | None) -> int:
        raise InputError("I104", observed=f"size={size!r}", expected="tiny", where=str(out))

    module = types.ModuleType("gradledger.demo.main")
    module.run = run
    monkeypatch.setitem(sys.modules, "gradledger.demo.main", module)
    assert main(["demo", "--size", "huge"]) == 2
    assert capsys.readouterr().err.startswith("[I104] ")
