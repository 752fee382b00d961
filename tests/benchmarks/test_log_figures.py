"""The harness of the figures ``log.*`` can fail: what is planted is counted."""

from __future__ import annotations

import mmap
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import bench_log_flips, bench_log_kills
from benchmarks.faulty_run import torn_files
from benchmarks.fuzz_parser import Fuzzed, _Reader
from benchmarks.killed_outcome import Outcome, compare
from benchmarks.small_signed_run import make_small_run

from gradledger.errors import LogError
from gradledger.log import SigningKey
from gradledger.verify import Finding, Report


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SigningKey]:
    return make_small_run(tmp_path_factory.mktemp("made"))


def test_flips_that_nobody_finds_are_missed(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_log_flips, "check_run", lambda *_: Report(()))
    counts = bench_log_flips.count((made[0], str(made[1].verifier), 5, 30, 10))
    missed = sum(n for key, n in counts.items() if "missed " in key)
    assert missed == 40 == counts["flips"] + counts["damages"]


@pytest.mark.parametrize(
    ("name", "code", "place", "observed", "placed"),
    [
        ("visits/part-000000.parquet", "V302", "visits/part-000000.parquet", "", False),
        ("visits/part-000000.parquet", "V308", "visits/part-000000.parquet, footer", "", True),
        ("visits/part-000000.parquet", "V308", "visits/part-000001.parquet, footer", "", False),
        ("run.json", "V306", "manifest.json: run.json", "", False),
        ("manifest.json", "V306", "manifest.json: run.json", "", True),
        ("manifest.json", "V306", "manifest.json", "no list of files", False),
        ("manifest.json", "V306", "manifest.json", "Expecting value: line 3 column 1", True),
        ("log/tile/0/000.p/18", "V106", "log/tile/0/000.p/18", "", False),
        ("log/tile/0/000.p/18", "V106", "log/tile/0/000.p/18, hash 4", "", True),
        ("log/tile/entries/000.p/18", "V106", "leaf 4", "", True),
        ("log/checkpoint", "V108", "log/checkpoints/18", "", False),
        ("log/checkpoint", "V108", "log/checkpoint", "", True),
    ],
)
def test_what_counts_as_placed(
    name: str, code: str, place: str, observed: str, placed: bool
) -> None:
    assert bench_log_flips.is_placed(name, Finding(code, place, observed, "")) is placed


def test_what_is_lost_or_torn_is_counted(made: Any, tmp_path: Path) -> None:
    run, key = made[0], made[1]
    folder = run.parent
    (folder / "acknowledged.txt").write_text("1\n2\n2\n3\n4\n5\n")
    outcome = Outcome(sealed={("visits/part-000009.parquet", "0" * 64)})
    found = compare(folder, folder, 4, outcome, [key.verifier])
    assert (found.lost, found.lost_segments, found.unequal) == (2, 1, [])
    assert torn_files(run) == []
    part = run / "books" / "part-000007.parquet"
    part.write_bytes(b"PAR1")
    assert [text.split(":")[0] for text in torn_files(run)] == ["books/part-000007.parquet"]
    part.unlink()
    outcome = Outcome(kills=3, lost=1, findings=["[V401] ..."])
    figures = {item.key: item for item in bench_log_kills.figures([outcome], 4)}
    missed = {key for key, figure in figures.items() if figure.ok is False}
    assert missed == {"log.kills", "log.kills_lost", "log.kills_findings"}


def test_other_exceptions_are_failures_of_a_parser() -> None:
    def read(content: bytes) -> None:
        started = time.process_time()
        while time.process_time() - started < 0.002:
            pass
        if content == b"own":
            raise LogError("L111", observed="", expected="")
        if content == b"other":
            raise ValueError(content)

    found = Fuzzed("x")
    reader = _Reader(SimpleNamespace(read=read), found, mmap.mmap(-1, 1 << 23))
    for content in (b"own", b"other", b"good"):
        reader(content)
    assert (found.inputs, found.refused, len(found.failures)) == (3, 1, 1)
    assert "ValueError" in found.failures[0]
    assert found.slowest_seconds >= 0.002
