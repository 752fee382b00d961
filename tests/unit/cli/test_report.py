"""``gradledger report``: where it writes, what it says, when it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_run import make_run

import gradledger as gl
from gradledger.cli.main import main


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run").path


def test_it_writes_beside_the_run_and_says_so(run_dir, capsys, monkeypatch) -> None:
    monkeypatch.chdir(run_dir.parent)
    assert main(["report", "rights", "run"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("written to run.rights.html\n")
    assert "yes       Every visit rests on an admitting decision of policy house 1.0.0." in said
    assert (run_dir.parent / "run.rights.html").read_text(encoding="utf-8").startswith("<!doctype")


def test_the_file_is_the_method(run_dir, tmp_path) -> None:
    place = tmp_path / "out" / "safety.json"
    assert main(["report", "safety", str(run_dir), "--out", str(place), "--format", "json"]) == 0
    with gl.open(run_dir) as ledger:
        assert place.read_text(encoding="utf-8") == ledger.report("safety").to_json()


def test_json_goes_to_stdout_and_writes_nothing(run_dir, capsys) -> None:
    assert main(["report", "rights", str(run_dir), "--as-of", "2026-12-31", "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["subject"]["as_of"].startswith("2026-12-31")
    assert [path.name for path in run_dir.parent.iterdir()] == ["run"]


def test_a_dash_is_stdout(run_dir, capsys) -> None:
    assert main(["report", "rights", str(run_dir), "--out", "-"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")


def test_a_gate_that_holds_exits_with_0(run_dir) -> None:
    arguments = ["report", "rights", str(run_dir), "--fail-on"]
    assert main([*arguments, "denied-visits>0,unbalanced>0"]) == 0


def test_a_gate_that_fails_exits_with_1_and_lists_all_violations(run_dir, capsys) -> None:
    gate = "unknown>0.05,denied-visits>0,not-finite>0,coverage<1"
    assert main(["report", "rights", str(run_dir), "--fail-on", gate]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in said] == [
        "unknown>0.05",
        "not-finite>0",
        "coverage<1",
    ]
    assert run_dir.with_name("run.rights.html").exists(), "a failed gate still leaves its report"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--fail-on", "unknown"], "Q141"),
        (["--fail-on", "no-such-figure>0"], "Q142"),
        (["--format", "pdf"], "Q110"),
        (["--as-of", "soon"], "Q110"),
        (["--json", "--format", "json"], "Q110"),
        (["--out", "run/report.html"], "Q110"),
    ],
)
def test_bad_arguments_leave_nothing_behind(run_dir, capsys, monkeypatch, arguments, code) -> None:
    monkeypatch.chdir(run_dir.parent)
    before = sorted(run_dir.parent.rglob("*"))
    assert main(["report", "rights", "run", *arguments]) == 2
    assert code in capsys.readouterr().err
    assert sorted(run_dir.parent.rglob("*")) == before


def test_kinds_that_are_none_are_refused(run_dir, capsys) -> None:
    assert main(["report", "wrongs", str(run_dir)]) == 2
    assert "rights | safety" in capsys.readouterr().err
