"""The main job as a newcomer runs it: the smallest demonstration, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gradledger as gl
from gradledger.evidence import check_evidence
from gradledger.log import check_manifest, load_key
from gradledger.verify import check_run

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def done(demonstration: tuple[Path, str]) -> tuple[Path, str]:
    """The folder of ``gradledger demo --size tiny`` and its output."""
    return demonstration


@pytest.fixture(scope="module")
def summary(done: tuple[Path, str]) -> dict[str, Any]:
    return json.loads((done[0] / "runs" / "demo-tiny.summary.json").read_text(encoding="utf-8"))


def test_every_step_is_accounted_for(summary: dict[str, Any]) -> None:
    assert summary["balanced"] is True
    assert summary["balance"]["largest_residual"]["value"] <= 1e-5
    assert summary["balance"]["largest_gap"]["value"] <= 1e-5
    assert summary["balance"]["verdicts"]["unbalanced"] == 0
    assert summary["balance"]["verdicts"]["balanced"] > 0
    assert summary["coverage_percent"] == 100.0
    assert (summary["steps"], summary["visits"], summary["admitted"]) == (40, 320, 250)


def test_the_run_was_executed_twice_bit_for_bit(summary: dict[str, Any]) -> None:
    assert summary["displacement"]["steps_bit_identical"] == summary["steps"]
    assert summary["displacement"]["sum_error"] <= 1e-6


def test_each_question_is_put_and_answered(done: tuple[Path, str]) -> None:
    for text in (
        "Is it balanced?",
        "What shaped each block, by effective license?",
        "What shaped each block, by class?",
        "What shaped each block, by package?",
        "What was refused, and why?",
        "refused?",
        "What would a stricter policy decide?",
        "What changed from start to end?",
        "What would the model be without",
        "loss on the chosen windows [nats]",
        "first used?",
        "Was this content used?",
        "never admitted: shown to the policy and refused",
        "never admitted: none of the examples that the run was shown",
        "bit-identical",
    ):
        assert text in " ".join(done[1].split())


def test_a_fresh_shell_executes_the_run_again_bit_for_bit(done: tuple[Path, str]) -> None:
    """Code is named by the run, data by its wheels; another thread count is put right."""
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "gradledger.cli.main", "whatif", "runs/demo-tiny"),
            *("--nothing", "--json"),
        ],
        cwd=done[0],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    facts = json.loads(answer.stdout)["facts"]
    assert facts["same final model"] is True
    assert facts["bit-identical steps"].startswith("40 of 40")


def test_nothing_refused_was_visited(done: tuple[Path, str]) -> None:
    with gl.open(done[0] / "runs" / "demo-tiny") as ledger:
        rows = ledger.decisions().rows
    refused = [row for row in rows if row["verdict"] != "admit"]
    assert refused
    assert sum(row["visits"] for row in refused) == 0
    assert sum(row["visits"] for row in rows) == 320


def test_shares_of_all_examples_and_lines_add_up_to_one(done: tuple[Path, str]) -> None:
    with gl.open(done[0] / "runs" / "demo-tiny") as ledger:
        lines = ledger.trace(top=3).table("lines").records()
        ranking = ledger.trace(top=10_000).rows
    total = next(row["share"] for row in lines if row["line"] == "total")
    visits = sum(row["share"] for row in lines if row["line"].endswith(("listed", "visits")))
    assert total == pytest.approx(1.0, abs=1e-6)
    assert sum(row["share"] for row in ranking) == pytest.approx(visits, abs=1e-9)


def test_the_files_are_those_of_the_manifest(done: tuple[Path, str]) -> None:
    assert check_manifest(done[0] / "runs" / "demo-tiny") == []


def test_the_run_is_signed_and_verifies(done: tuple[Path, str]) -> None:
    run, key = done[0] / "runs" / "demo-tiny", load_key(done[0] / "runs" / "demo-tiny.key")
    report = check_run(run, [key.verifier])
    assert report.findings == ()
    assert f"verify: clean, {report.num_leaves} leaves, signed by gradledger.demo/" in done[1]
    assert (done[0] / "runs" / "demo-tiny.key").stat().st_mode & 0o777 == 0o600


def test_evidence_lies_beside_the_run_and_holds_without_it(done: tuple[Path, str]) -> None:
    folder = done[0] / "runs" / "demo-tiny.evidence"
    key = load_key(done[0] / "runs" / "demo-tiny.key").verifier
    assert sorted(path.name for path in folder.iterdir()) == ["example.receipt.json", "package.zip"]
    for path in folder.iterdir():
        assert check_evidence(path, [key]).findings == []
        assert str(path.relative_to(done[0])) in done[1]
    assert "REFUSED" not in done[1]
    said = json.loads((done[0] / "runs/demo-tiny.summary.json").read_text())["evidence"]
    assert (said["receipt"]["holds"], said["bundle"]["holds"]) == (True, True)


def test_a_second_demonstration_replaces_the_first_and_nothing_else(
    done: tuple[Path, str],
) -> None:
    folder = done[0] / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("kept", encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-m", "gradledger.cli.main", "demo", "--size", "tiny", "--out", "mine"],
        cwd=done[0],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 2
    assert "[S101]" in answer.stderr
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "kept"
