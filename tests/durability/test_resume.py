"""A run that was cut off goes on: same bits at the end, nothing lost, nothing twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn, optim

import gradledger as gl
from gradledger.log import check_manifest
from gradledger.segment import read_table

MOMENTS = ("before the update", "after the update", "after the step", "after the loop body")


@pytest.fixture(scope="module")
def undisturbed(script: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], Path]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    return script.bits(script(folder)()), folder


@pytest.fixture
def cut(script: Any, tmp_path: Path) -> Callable[..., Path]:
    """Return a directory as a kill at a step leaves it."""

    def make(step: int, moment: str = "after the step", **parts: Any) -> Path:
        script(tmp_path / "whole", tmp_path / "cut", (step, moment), **parts)()
        return tmp_path / "cut"

    return make


def columns(folder: Path, table: str) -> dict[str, list[Any]]:
    found = read_table(folder, table).to_pydict()
    for name in ("digest", "wall_seconds", "record_seconds"):
        found.pop(name, None)
    return {name: list(map(repr, values)) for name, values in found.items()}


def assert_same(folder: Path, model: nn.Module, undisturbed: tuple[list[bytes], Path]) -> None:
    expected, reference = undisturbed
    assert [value.detach().numpy().tobytes() for value in model.parameters()] == expected
    for table in ("visits", "steps", "books"):
        assert columns(folder, table) == columns(reference, table)
    ends = [json.loads((place / "end.json").read_text()) for place in (folder, reference)]
    for name in ("num_steps", "num_visits", "final_digest", "balance"):
        assert ends[0][name] == ends[1][name]
    assert check_manifest(folder) == []


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", [1, 2, 4, 5, 8, 12])
def test_every_moment(script: Any, step: int, moment: str, cut: Any, undisturbed: Any) -> None:
    folder = cut(step, moment)
    model = script(folder)()
    assert_same(folder, model, undisturbed)
    record = json.loads((folder / "resumes" / "resume-0001.json").read_text())
    # A state is stored when the loop comes back for more after an even step.
    assert record["step"] == (step - 1) // 2 * 2
    assert (record["stopped"]["phase"] == "between intent and commit") == (
        moment == "after the update"
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_goes_on_with_workers(script: Any, workers: int, cut: Any, undisturbed: Any) -> None:
    folder = cut(7, workers=workers)
    assert_same(folder, script(folder, workers=workers)(), undisturbed)


def test_orphans_are_kept_and_counted_nowhere(script: Any, cut: Any) -> None:
    folder = cut(8, "after the update", record={"seal_steps": 1})
    script(folder)()
    with gl.open(folder) as ledger:
        tables = {table.name: table.rows for table in ledger.orphans().tables}
        flags = {row[0]: row[-2] for row in ledger.steps().tables[0].rows}
        info = ledger.info().facts
    assert [(row[0], row[1], row[-1]) for row in tables["orphans"]] == [(1, 7, "bit for bit")]
    ((number, _, step, stopped, num_steps, num_visits, passed_over),) = tables["resumes"]
    assert (number, step, num_steps, num_visits, passed_over) == (1, 6, 1, 3, 0)
    assert stopped == "in step 8: intent without commit, 1 visits"
    assert flags[7] == "resumed"
    assert set(flags.values()) == {"", "resumed"}
    assert info["resumes"] == "1; orphan steps: 1 (see orphans)"
    assert info["visits"] == 30
    orphan = folder / "orphans" / "resume-0001" / "visits" / "part-000006.parquet"
    assert orphan.exists()
    assert not (folder / "visits" / "part-000006.parquet").exists()


def test_committed_steps_that_were_not_sealed_become_orphans(script: Any, cut: Any) -> None:
    folder = cut(5, "after the step")
    with gl.open(folder) as ledger:
        assert ledger.info().facts["cut off or open"] == "steps 5 to 5 are committed and not sealed"
    script(folder)()
    with gl.open(folder) as ledger:
        (row,) = ledger.orphans().tables[1].rows
    assert (row[1], row[2], row[-1]) == (5, 3, "bit for bit")


def test_twice_cut_off(script: Any, cut: Any, tmp_path: Path, undisturbed: Any) -> None:
    folder = cut(5)
    script(folder, tmp_path / "again", (6, "after the update"))()
    model = script(tmp_path / "again")()
    assert_same(tmp_path / "again", model, undisturbed)
    with gl.open(tmp_path / "again") as ledger:
        assert [row[:2] for row in ledger.orphans().tables[1].rows] == [(1, 5), (2, 5)]


def test_without_stored_states_it_begins_again(script: Any, cut: Any, undisturbed: Any) -> None:
    folder = cut(5, record={"state_every": 0})
    model = script(folder, record={"state_every": 0})()
    assert_same(folder, model, undisturbed)


def test_optimizers_with_lazy_state(script: Any, cut: Any, tmp_path: Path) -> None:
    parts = {"make_optimizer": lambda model: optim.AdamW(model.parameters(), lr=0.01)}
    folder = cut(5, "after the update", **parts)
    assert script.bits(script(folder, **parts)()) == script.bits(
        script(tmp_path / "other", **parts)()
    )


def test_a_damaged_state_is_passed_over(script: Any, cut: Any, undisturbed: Any) -> None:
    folder = cut(7)
    damaged = folder / "states" / "step=6" / "model.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(bytes(content))
    assert_same(folder, script(folder)(), undisturbed)
    record = json.loads((folder / "resumes" / "resume-0001.json").read_text())
    assert record["step"] == 4
    assert record["passed_over"][0]["reason"].startswith("S123")
    assert (folder / "orphans" / "resume-0001" / "states" / "step=6").is_dir()
    assert (folder / "states" / "step=6").is_dir()


def test_a_state_whose_steps_are_missing_is_passed_over(
    script: Any, cut: Any, undisturbed: Any
) -> None:
    folder = cut(7)
    (folder / "steps" / "part-000002.parquet").unlink()
    assert_same(folder, script(folder)(), undisturbed)
    record = json.loads((folder / "resumes" / "resume-0001.json").read_text())
    assert record["step"] == 4
    assert record["passed_over"][0]["reason"] == "step 5 has 0 records"


def test_a_torn_log_ends_before_the_tear(script: Any, cut: Any, undisturbed: Any) -> None:
    folder = cut(7)
    log = folder / "wal" / "session-0000.log"
    log.write_bytes(log.read_bytes()[:-3])
    assert_same(folder, script(folder)(), undisturbed)
    record = json.loads((folder / "resumes" / "resume-0001.json").read_text())
    assert record["stopped"]["step"] == 7
    assert record["num_orphan_steps"] == 0


def test_no_state_left(script: Any, cut: Any) -> None:
    folder = cut(3)
    for path in (folder / "states").glob("step=*"):
        (path / "state.json").write_bytes(b"{}")
    with pytest.raises(gl.errors.StorageError, match="S104"):
        script(folder)()


def test_a_closed_run_does_not_go_on(script: Any, tmp_path: Path) -> None:
    script(tmp_path / "run")()
    with pytest.raises(gl.errors.StorageError, match="S102"):
        script(tmp_path / "run")()
    (tmp_path / "run" / "manifest.json").unlink()
    with pytest.raises(gl.errors.StorageError, match="S102"):
        script(tmp_path / "run")()
    assert check_manifest(tmp_path / "run") == []


def test_without_resume_a_run_is_never_touched(script: Any, cut: Any) -> None:
    folder = cut(3)
    before = sorted(path for path in folder.rglob("*"))
    with pytest.raises(gl.errors.StorageError, match="S101"):
        script(folder, record={"resume": False})()
    assert sorted(path for path in folder.rglob("*")) == before


def test_other_folders_are_never_taken_for_runs(script: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("content")
    with pytest.raises(gl.errors.StorageError, match="S101"):
        script(tmp_path)()


def test_a_run_that_died_while_it_was_opened_begins_again(
    script: Any, tmp_path: Path, undisturbed: Any
) -> None:
    folder = tmp_path / "run"
    (folder / "states" / ".step=0.abcd.tmp").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    assert_same(folder, script(folder)(), undisturbed)


@pytest.mark.parametrize("left", [[], ["run.json"]])
def test_a_kill_in_the_first_write_of_all(
    script: Any, tmp_path: Path, undisturbed: Any, left: list[str]
) -> None:
    """What it leaves is a temporary file, and the run begins again."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (".run.json.0123abcd.tmp", "run.lock", *left):
        (folder / name).write_text("{", encoding="utf-8")
    assert_same(folder, script(folder)(), undisturbed)


def wide() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Dropout(0.3), nn.Linear(9, 2))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"make_model": wide}, "tensor 0.weight="),
        ({"make_optimizer": lambda m: optim.Adam(m.parameters())}, "optimizer family="),
        ({"record": {"level": "decisions"}}, "level="),
        ({"record": {"verify_content": False}}, "verify_content="),
        ({"metadata": {"source": ["b"] * 10}}, "'b' in column source of item 0"),
        ({"metadata": {"other": ["b"] * 10}}, "columns other"),
        ({"inputs": torch.zeros(10, 5)}, "content"),
        ({"inputs": torch.zeros(9, 5), "metadata": {"source": ["a"] * 9}}, "9 items"),
        ({"batch": 4}, "another order of the first 2 batches"),
        ({"track": False}, "'schedule' not tracked"),
    ],
)
def test_a_script_that_is_another_is_refused(
    script: Any, parts: dict[str, Any], said: str, cut: Any, tmp_path: Path
) -> None:
    same = {"metadata": {"source": ["a"] * 10}}
    folder = cut(7, **same)
    with pytest.raises(gl.errors.StorageError, match="S103") as caught:
        script(folder, **{**same, **parts})()
    assert said in caught.value.observed
    # Nothing that counts has changed: the right script goes on.
    shutil.rmtree(tmp_path / "whole")
    assert script.bits(script(folder, **same)()) == script.bits(
        script(tmp_path / "whole", **same)()
    )


def test_decisions_stand_although_the_policy_text_would_decide_otherwise(
    script: Any, cut: Any
) -> None:
    folder = cut(5)
    before = columns(folder, "decisions/distinct")
    script(folder)()
    assert columns(folder, "decisions/distinct") == before


def test_a_second_writer_is_refused_and_changes_nothing(script: Any, tmp_path: Path) -> None:
    whole = script(tmp_path / "run")
    model = whole.make_model()
    optimizer = whole.make_optimizer(model)
    with gl.record(tmp_path / "run", model, optimizer):
        with pytest.raises(gl.errors.StorageError, match="S111"):
            script(tmp_path / "run")()
        assert not (tmp_path / "run" / "resumes").exists()
