"""The harness that keeps figures: what it runs, replaces, keeps and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = '''"""{claim}"""
from benchmarks.figure import Figure, NotMeasurableError

def measure() -> list[Figure]:
    {body}
'''


@pytest.fixture
def bench(tmp_path: Path):
    """Write scripts by name, run the harness on them, return status and file."""

    def run(*arguments: str, **scripts: str) -> tuple[int, dict, str]:
        for name, body in scripts.items():
            text = SCRIPT.format(claim=f"Claim of {name}.", body=body)
            (tmp_path / f"bench_{name}.py").write_text(text, encoding="utf-8")
        command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), *arguments]
        folders = ["--scripts", str(tmp_path), "--results", str(tmp_path / "results")]
        answer = subprocess.run(
            [*command, *folders], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        latest = tmp_path / "results" / "latest.json"
        content = json.loads(latest.read_text(encoding="utf-8")) if latest.exists() else {}
        return answer.returncode, content, answer.stdout + answer.stderr

    return run


def _values(content: dict) -> dict[str, float]:
    return {row["key"]: row["value"] for row in content["figures"]}


def test_rows_carry_what_is_needed_to_repeat_them(bench) -> None:
    status, content, _ = bench(
        books_residual="return [Figure('books.residual', 1e-7, 'ratio', bar=1e-5, spread=2e-8)]"
    )
    assert status == 0
    (row,) = content["figures"]
    assert row["ok"] is True
    assert row["command"] == "make bench ONLY=books.residual"
    assert {"measured_at", "commit", "goal", "better", "spread", "unit"} <= set(row)
    assert content["machine"]["versions"]["gradledger"]


def test_a_group_run_alone_replaces_only_its_own_rows(bench) -> None:
    bench(
        books_a="return [Figure('books.a', 1, 's'), Figure('books.gone', 1, 's')]",
        log_a="return [Figure('log.a', 1, 's')]",
    )
    status, content, _ = bench(
        "--only",
        "books",
        books_a="return [Figure('books.a', 2, 's')]",
        log_a="return [Figure('log.a', 2, 's')]",
    )
    assert status == 0
    assert _values(content) == {"books.a": 2, "log.a": 1}


def test_a_missed_bar_fails_and_is_named(bench) -> None:
    status, content, output = bench(
        log_rate="return [Figure('log.rate', 3, 'MB/s', better='higher', bar=4)]"
    )
    assert status == 1
    assert content["figures"][0]["ok"] is False
    assert "below their bar: log.rate" in output


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("raise OSError('no')", 1, "failed to measure"),
        ("raise NotMeasurableError('no GPU')", 0, "not measurable here"),
    ],
)
def test_a_script_that_cannot_measure_keeps_its_earlier_rows(bench, body, status, said) -> None:
    bench(gpu_speed="return [Figure('gpu.speed', 5, 's')]")
    outcome, content, output = bench(gpu_speed=body)
    assert outcome == status
    assert _values(content) == {"gpu.speed": 5}
    assert f"{said}; earlier rows are kept: gpu.speed" in output


def test_keys_belong_to_the_group_of_their_script(bench) -> None:
    status, content, output = bench(log_a="return [Figure('books.a', 1, 's')]")
    assert status == 1
    assert content["figures"] == []
    assert "may only claim keys of 'log'" in output


def test_an_unknown_group_is_answered_with_those_that_exist(bench) -> None:
    status, _, output = bench("--only", "boks", books_a="return []")
    assert status == 2
    assert "books.a" in output


def test_figures_know_their_bar() -> None:
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks.figure import Figure
    finally:
        sys.path.remove(str(ROOT))
    assert Figure("a.b", float("nan"), "s", bar=1.0).ok is False
    assert Figure("a.b", 2.0, "s").ok is None
    assert Figure("a.b", 0.0, "count", "equal", bar=0.0).ok is True
    assert Figure("a.b", 1.0, "count", "equal", bar=0.0).ok is False
    with pytest.raises(ValueError, match="dotted lower case"):
        Figure("Books", 1.0, "s")
    with pytest.raises(ValueError, match="lower, higher, equal"):
        Figure("a.b", 1.0, "s", "smaller")


def test_rows_from_a_gpu_machine_name_it() -> None:
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks.results_file import merge
    finally:
        sys.path.remove(str(ROOT))
    plain, device = {"gpu": [], "n": 1}, {"gpu": ["H"], "n": 2}
    first = merge({}, [{"key": "a.a", "script": "a"}], plain)
    second = merge(first, [{"key": "b.b", "script": "b"}], device)
    assert second["machine"] == plain
    assert [row.get("machine") for row in second["figures"]] == [None, device]
    other = {"gpu": [], "n": 3}
    third = merge(second, [{"key": "c.c", "script": "c"}], other)
    assert third["machine"] == other
    assert [row.get("machine") for row in third["figures"]] == [plain, device, None]
    with pytest.raises(ValueError, match=r"a\.a is claimed by a and d"):
        merge(first, [{"key": "a.a", "script": "d"}], plain)
