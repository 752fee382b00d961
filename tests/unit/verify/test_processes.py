"""Several processes, parts of segments, and what is told on the way: the report is the same."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

# Test folders are no packages: the maker of the run is found through its folder.
sys.path.insert(0, str(Path(__file__).parent))

from signed_run import change_json, change_table, make_signed_run

import gradledger as gl
from gradledger.canon import leaf_bytes, read_leaf
from gradledger.cli.main import main
from gradledger.errors import LogError, QueryError, StorageError
from gradledger.log import LogReader, hash_segment, load_key, segment_leaf
from gradledger.merkle import root_hash
from gradledger.schema import FileDigest, SegmentLeaf, StateLeaf
from gradledger.segment import SegmentWriter, read_parts, read_segment
from gradledger.segment import reader as reader_module
from gradledger.verify import Progress, check_run
from gradledger.verify.files import check_leaf
from gradledger.verify.parts import Part, checked_files, files_part, state_digest, state_part
from gradledger.verify.share import share


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_signed_run(tmp_path_factory.mktemp("template"))[0]


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "run")
    return tmp_path / "run"


def test_the_report_is_the_same_with_any_number_of_processes(run: Path, template: Path) -> None:
    """Damage in several places: findings, their order, and every word."""
    key = load_key(template.parent / "lab.key").verifier
    assert check_run(run, [key], processes=2).is_clean
    change_table(run, "visits", 0, lambda rows: rows[1:])
    change_table(run, "books", 1, lambda rows: rows[::-1])
    change_json(run, "end.json", num_steps=7)
    state = run / "states/step=4/model.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"\1")
    (run / "policies/stray").write_text("x")
    alone, both = check_run(run, [key]), check_run(run, [key], processes=3)
    assert len(alone.findings) > 6
    assert both == alone


def test_what_cannot_be_read_stops_both(run: Path, template: Path) -> None:
    path = run / "visits/part-000000.parquet"
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this account may read everything")
    for processes in (1, 2):
        with pytest.raises(StorageError, match="S113"):
            check_run(run, processes=processes)


def test_the_first_part_that_fails_is_the_one_that_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    leaf = StateLeaf(
        run_id="r", step=1, state_sha256="0" * 64, files=(FileDigest("x", 1, "0" * 64),)
    )
    parts = [files_part(tmp_path, leaf, index, {"x": "x"}) for index in range(6)]
    with pytest.raises(StorageError, match="S113") as caught:
        checked_files({"error": StorageError("S113", observed="a", expected="b").to_dict()})
    assert caught.value.observed == "a"
    for processes in (1, 3):
        answers = share(parts, lambda: None, processes, lambda _: None)
        found = [checked_files(item).findings[0].expected for item in answers]
        assert found == [f"as leaf {index} says" for index in range(6)]


def test_a_process_that_dies_is_named(tmp_path: Path) -> None:
    """A request that it cannot read ends it; this process is busy meanwhile."""
    parts = [Part("a", {"part": "none"}), Part("b", {"part": "none"})]
    with pytest.raises(LogError, match="L193"):
        share(parts, lambda: time.sleep(3), 3, lambda _: None)


def test_other_processes_take_their_share(run: Path) -> None:
    """While this one is held up, another does everything."""
    told: list[Progress] = []
    parts = [state_part(run / "states/step=4/model.safetensors", 4) for _ in range(8)]

    def wait() -> None:
        deadline = time.monotonic() + 60
        while len(told) < 9 and time.monotonic() < deadline:
            time.sleep(0.05)

    answers = share(parts, wait, 2, told.append)
    assert len(told) == 9
    assert len({state_digest(item).digest for item in answers}) == 1
    assert [item.num_bytes for item in told] == sorted(item.num_bytes for item in told)


def test_a_current_folder_cannot_take_the_place_of_a_module(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert check_run(run, processes=2).is_clean


def test_progress_counts_every_byte_once(run: Path) -> None:
    told: list[Progress] = []
    check_run(run, on_progress=told.append)
    counted = [item for item in told if item.total_bytes]
    assert [item.num_bytes for item in counted] == sorted(item.num_bytes for item in counted)
    assert counted[-1].num_bytes == counted[-1].total_bytes
    named = sum(
        file.num_bytes for content in LogReader(run).leaves() for file in read_leaf(content).files
    )
    weights = sum(path.stat().st_size for path in run.glob("states/*/model.safetensors"))
    assert counted[-1].total_bytes == named + weights
    assert {"log", "records", "leaf 0", "manifest"} <= {item.what for item in told}


def test_no_bar_without_a_terminal(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run), "--json"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["verify", str(run), "--processes", "2"]) == 0
    assert capsys.readouterr().err == ""


def test_the_number_of_processes_is_checked(run: Path) -> None:
    with gl.open(run) as ledger:
        assert ledger.verify(processes=1).is_clean
        with pytest.raises(QueryError, match="Q110"):
            ledger.verify(processes=0)
    assert main(["verify", str(run), "--processes", "0"]) == 2


def test_an_earlier_checkpoint_that_is_taken_away_is_missed(run: Path, template: Path) -> None:
    """Later ones cover what it said, but not who cosigned it."""
    key = load_key(template.parent / "lab.key").verifier
    sizes = sorted(int(path.name) for path in (run / "log/checkpoints").iterdir())
    assert len(sizes) > 3
    for size in sizes[:-2]:
        path = run / f"log/checkpoints/{size}"
        content = path.read_bytes()
        path.unlink()
        found = check_run(run, [key]).findings
        assert [(item.code, item.place) for item in found] == [("V301", f"log/checkpoints/{size}")]
        path.write_bytes(content)
    assert check_run(run, [key]).is_clean


# -- segments in parts -------------------------------------------------------------------------


def test_parts_hash_to_the_root_of_the_whole(tmp_path: Path, monkeypatch) -> None:
    """Parts end neither at row groups nor at blocks, and labels differ from part to part."""
    monkeypatch.setattr(reader_module, "PART_ROWS", 700)
    writer = SegmentWriter(tmp_path, "probes/values", {})
    steps = np.arange(3000, dtype=np.int32)
    names = [f"probe {number // 900}" for number in range(3000)]
    writer.append({"probe": names, "step": steps, "value": np.sqrt(steps.astype(np.float64))})
    sealed = writer.seal()
    path = tmp_path / sealed.name
    assert [part.num_rows for part in read_parts(path)] == [700] * 4 + [200]
    whole = read_segment(path)
    for rows in (977, 3000):
        pq.write_table(whole, path, row_group_size=rows)
        found = hash_segment(path)
        assert (found.num_rows, found.min_step, found.max_step) == (3000, 0, 2999)
        assert found.inner_root.hex() == segment_leaf(tmp_path, "r", sealed).inner_root
    monkeypatch.setattr(reader_module, "PART_ROWS", 1 << 20)
    assert hash_segment(path) == found
    pq.write_table(whole.slice(0, 0), path)
    empty = hash_segment(path)
    assert (empty.num_rows, empty.inner_root, empty.min_step) == (0, root_hash([]), None)


@pytest.mark.parametrize(
    "change", [{"min_step": 0}, {"max_step": 9}, {"min_step": None, "max_step": None}]
)
def test_steps_that_a_leaf_claims_are_compared_with_the_rows(run: Path, change: dict) -> None:
    """A leaf that claims other steps would hide its segment from a check of one step."""
    for content in LogReader(run).leaves():
        leaf = read_leaf(content)
        if isinstance(leaf, SegmentLeaf) and leaf.table == "visits":
            break
    places = {file.path: file.path for file in leaf.files}
    assert check_leaf(run, leaf, 5, places).findings == []
    wrong = read_leaf(leaf_bytes(type(leaf)(**{**_fields(leaf), **change})))
    (name, *_) = change
    found = check_leaf(run, wrong, 5, places).findings
    assert [item.code for item in found] == ["V303"] * len(change)
    assert name in found[0].observed


def _fields(leaf: SegmentLeaf) -> dict:
    return {name: value for name, value in leaf.__dict__.items() if name not in {"kind", "format"}}
