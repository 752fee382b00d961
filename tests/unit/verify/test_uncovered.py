"""Leaves that wait for a checkpoint, written by somebody who cannot sign: they excuse nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from signed_run import make_signed_run, train

from gradledger.canon import leaf_bytes, read_leaf
from gradledger.log import LogReader, SigningKey, load_key, save_key, write_manifest
from gradledger.log.rows import segment_leaf
from gradledger.log.waiting import WaitingLeaves
from gradledger.schema import (
    THINNED,
    DerivedLeaf,
    ErasureLeaf,
    FileDigest,
    Leaf,
    ResumeLeaf,
    RunBeginLeaf,
)
from gradledger.segment import SegmentWriter
from gradledger.verify import check_run

MOMENT = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_signed_run(tmp_path_factory.mktemp("signed"))


@pytest.fixture
def run(template: tuple[Path, Path], tmp_path: Path) -> Path:
    return shutil.copytree(template[0], tmp_path / "run")


def begin_of(run: Path) -> str:
    leaf = read_leaf(next(iter(LogReader(run).leaves())))
    assert isinstance(leaf, RunBeginLeaf)
    return leaf.run_id


def forge(run: Path, leaves: Sequence[Leaf]) -> None:
    """Write leaves into the journal as the owner's writer would: no key is needed for that."""
    size = LogReader(run).size
    journal = WaitingLeaves(run / "log", size)
    for place, leaf in enumerate(leaves):
        journal.append(size + place, leaf_bytes(leaf))


def found(run: Path, key: Path) -> set[str]:
    return {finding.code for finding in check_run(run, [load_key(key).verifier]).findings}


@pytest.mark.parametrize("what", [THINNED, "state"])
def test_a_state_is_missing_whoever_says_that_it_was_thinned(
    template: tuple[Path, Path], run: Path, what: str
) -> None:
    scope = "states/step=2"
    leaf = ErasureLeaf(
        run_id=begin_of(run), recorded_at=MOMENT, what=what, scope=scope, reason="schedule"
    )
    forge(run, [leaf])
    shutil.rmtree(run / scope)
    write_manifest(run)
    assert {"V113", "V301", "V903"} <= found(run, template[1])


def test_tables_that_nobody_signed_are_not_part_of_a_closed_run(
    template: tuple[Path, Path], run: Path
) -> None:
    writer = SegmentWriter(run, "displacement/lines", {})
    writer.append({name: [None] for name in writer.schema.names})
    sealed = writer.seal()
    assert sealed is not None
    run_id = begin_of(run)
    derived = DerivedLeaf(run_id=run_id, recorded_at=MOMENT, what="settling")
    forge(run, [derived, segment_leaf(run, run_id, sealed)])
    write_manifest(run)
    assert "V113" in found(run, template[1])


def test_an_open_run_cannot_be_cut_by_a_forged_resume(tmp_path: Path) -> None:
    run, key = tmp_path / "run", tmp_path / "key"
    save_key(SigningKey.generate("example.org/lab"), key)
    with pytest.raises(RuntimeError):
        train(run, key, fail_at=5)
    before = found(run, key)
    state = run / "states/step=2"
    files = [f"orphans/resume-0001/states/step=2/{path.name}" for path in state.iterdir()]
    leaf = ResumeLeaf(
        run_id=begin_of(run),
        files=tuple(FileDigest(name, 1, "0" * 64) for name in files),
        recorded_at=MOMENT,
        step=0,
        state_sha256="0" * 64,
    )
    forge(run, [leaf])
    shutil.rmtree(state)
    after = found(run, key)
    assert "V301" in after - before
    assert "V113" not in after
