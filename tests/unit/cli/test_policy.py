"""``gradledger policy``: output, streams and exit codes; torch stays out."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from make_run import Truth

from gradledger.cli.main import main
from gradledger.cli.policy import POLICY_COMMANDS
from gradledger.cli.reference import render
from gradledger.policy import load_policy
from gradledger.recorder.admission import decide_admission, metadata_table, write_decisions

NOW = "2026-01-31T00:00:00Z"
POLICY = """
format: gradledger.policy/1
policy: test.cli
version: "1"
attributes:
  license: {type: spdx}
  opted_out: {type: bool}
rules:
  - {id: open, effect: admit, when: "spdx_satisfies(license, :open)"}
  - {id: opted-out, effect: deny, when: opted_out}
params: {open: [MIT, ISC]}
"""
TABLE = "license,opted_out,source\nMIT,false,a\nMIT,true,a\nGPL-3.0-only,false,b\nISC,,b\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p1.yaml").write_text(POLICY, encoding="utf-8")
    second = POLICY.replace('"1"', '"2"').replace("[MIT, ISC]", "[ISC]")
    (tmp_path / "p2.yaml").write_text(second, encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(POLICY.replace("opted_out}", "opted}"), encoding="utf-8")
    (tmp_path / "t.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "r.json").write_text('{"license": "MIT"}', encoding="utf-8")
    (tmp_path / "blocks").write_text("embed\nhead\n", encoding="utf-8")
    return tmp_path


def ask(
    folder: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, dict[str, Any]]:
    """Run a command with and without --json; return its exit code and the JSON."""
    given = [str(folder / w) if (folder / w).exists() and w != "." else w for w in words]
    code = main(["policy", *given, "--json"])
    output = capsys.readouterr()
    answer = json.loads(output.out or output.err, parse_constant=pytest.fail)
    assert main(["policy", *given]) == code
    text = capsys.readouterr()
    if code != 2:
        assert output.err == text.err == ""
        assert text.out.startswith(answer["title"].split(" on ")[0])
        assert max(map(len, text.out.splitlines())) <= 100
    return code, answer


def rows(answer: dict[str, Any], table: str) -> list[dict[str, Any]]:
    return answer["tables"][table]["rows"]


def test_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = ask(folder, capsys, "check", "p1.yaml", "--model-blocks", "blocks")
    assert code == 0
    assert [row["rule"] for row in rows(answer, "rules")] == ["open", "opted-out"]
    assert rows(answer, "weights")[0] == {"block": "embed", "full": 1.0, "least": 1.0}
    code, answer = ask(folder, capsys, "check", "bad.yaml")
    assert code == answer["findings"] == 1
    (problem,) = rows(answer, "problems")
    assert (problem["line"], problem["column"], problem["code"]) == (10, 41, "P125")
    assert "bad.yaml:10:41" in answer["notes"][0]


def test_check_against_a_run(
    folder: Path, truth: Truth, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = ask(folder, capsys, "check", "p1.yaml", "--run", str(truth.path))
    assert code == 0
    assert [row["block"] for row in rows(answer, "weights")][-1] == "head"


def test_simulate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "decided.parquet"
    code, answer = ask(
        folder, capsys, "simulate", "p1.yaml", "t.csv", "--now", NOW, "--by", "source",
        "--out", str(out),
    )  # fmt: skip
    assert code == 0
    assert {row["verdict"]: row["examples"] for row in rows(answer, "verdicts")} == {
        "deny": 2, "quarantine": 1, "defer": 0, "admit": 1,
    }  # fmt: skip
    assert [row["source"] for row in rows(answer, "groups")] == ["a", "b"]
    assert answer["facts"]["decided at"] == "2026-01-31T00:00:00+00:00"
    assert pq.read_table(out)["verdict"].to_pylist() == ["admit", "deny", "deny", "quarantine"]


def test_diff(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = ask(folder, capsys, "diff", "p1.yaml", "p1.yaml", "--on", "t.csv", "--now", NOW)
    assert (code, rows(answer, "transitions")) == (0, [])
    code, answer = ask(folder, capsys, "diff", "p1.yaml", "p2.yaml", "--on", "t.csv", "--now", NOW)
    assert code == 1
    (change,) = rows(answer, "transitions")
    assert change["examples"] == 1
    assert (change["old"], change["new"]) == ("admit, unknown, full", "deny, unknown, none")
    assert (change["old_rules"], change["new_rules"]) == ("open", "default")
    assert [row["row"] for row in rows(answer, "examples")] == [0]


def test_explain_a_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = ask(folder, capsys, "explain", "p1.yaml", "r.json", "--now", NOW)
    assert code == 0
    by_rule = {row["rule"]: row for row in rows(answer, "rules")}
    assert by_rule["opted-out"]["why"] == "opted_out is missing"
    assert answer["facts"]["verdict"] == "quarantine"


@pytest.fixture
def run(folder: Path, truth: Truth) -> Path:
    """A run whose decisions were really taken by the policy."""
    path = folder / "run"
    path.mkdir()
    (path / "run.json").write_bytes((truth.path / "run.json").read_bytes())
    policy = load_policy(folder / "p1.yaml")
    (path / "policies").mkdir()
    (path / "policies" / f"{policy.digest}.yaml").write_text(policy.text, encoding="utf-8")
    table = metadata_table({"license": ["MIT", None], "opted_out": [False, False]}, 2)
    admission = decide_admission(policy, table, datetime(2026, 1, 31, tzinfo=UTC))
    write_decisions(
        path, admission, 0, table,
        numbers=np.arange(2, dtype=np.int32), example_ids=["i", "j"], commitments=[None, None],
    )  # fmt: skip
    return path


def test_explain_an_example_of_a_run(
    folder: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = ask(folder, capsys, "explain", "--run", str(run), "--example", "j")
    assert code == 0
    assert answer["facts"]["recorded"] == "quarantine, unknown, none"
    assert "verdict, class, profile and every rule as recorded" in answer["notes"][-1]
    code, answer = ask(folder, capsys, "explain", "p2.yaml", "--run", str(run), "--example", "0")
    assert (code, answer["facts"]["verdict"]) == (0, "deny")


def test_explain_finds_a_policy_that_was_exchanged(
    folder: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stored,) = (run / "policies").iterdir()
    stored.write_text(POLICY.replace("[MIT, ISC]", "[ISC]"), encoding="utf-8")
    code, answer = ask(folder, capsys, "explain", "--run", str(run), "--example", "0")
    assert code == 1
    assert "verdict is deny, recorded is admit" in answer["notes"][-1]
    assert "the stored policy has digest" in answer["notes"][-1]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "absent.yaml"], "P101"),
        (["check", "p1.yaml", "--model-blocks", "absent"], "S113"),
        (["check", "p1.yaml", "--model-blocks", "blocks", "--run", "x"], "Q110"),
        (["check", "p1.yaml", "--run", "x"], "Q101"),
        (["simulate", "bad.yaml", "t.csv"], "P125"),
        (["simulate", "p1.yaml", "r.json"], "S115"),
        (["simulate", "p1.yaml", "t.csv", "--now", "tomorrow"], "Q110"),
        (["simulate", "p1.yaml", "t.csv", "--now", "2026-01-31"], "P155"),
        (["simulate", "p1.yaml", "t.csv", "--by", "sauce"], "P151"),
        (["diff", "p1.yaml", "p2.yaml", "--on", "absent.csv"], "S113"),
        (["explain", "p1.yaml"], "Q110"),
        (["explain", "p1.yaml", "r.json", "--run", "x"], "Q110"),
        (["explain", "p1.yaml", "t.csv"], "I122"),
        (["explain", "--run", "x", "--example", "1"], "Q101"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_what_cannot_go_on_exits_with_2(
    folder: Path, words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code, answer = ask(folder, capsys, *words)
    assert (exit_code, answer["error"]["code"]) == (2, code)


def test_a_run_without_policy_explains_nothing(
    folder: Path, truth: Truth, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code, answer = ask(folder, capsys, "explain", "--run", str(truth.path), "--example", "999")
    assert (exit_code, answer["error"]["code"]) == (2, "Q108")


@pytest.mark.parametrize("command", POLICY_COMMANDS, ids=lambda command: command.__name__)
def test_every_command_is_on_the_page(command: Any) -> None:
    section = render().split(f"## gradledger policy {command.__name__}\n")[1].split("\n## ")[0]
    assert "--json" in section
    assert "--help" in section


def test_policies_need_no_torch(folder: Path) -> None:
    program = (
        "import sys; from gradledger.cli.main import main\n"
        f"code = main(['policy', 'check', {str(folder / 'p1.yaml')!r}])\n"
        "sys.exit('torch' if 'torch' in sys.modules else code)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert answer.returncode == 0, answer.stderr
