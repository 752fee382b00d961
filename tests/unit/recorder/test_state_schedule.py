"""Model states on a schedule: few and evenly spread at any length, thinned with the log's word."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gradledger as gl
from gradledger.errors import InputError, StorageError
from gradledger.ledger import verify_run
from gradledger.recorder.resume_point import stored_steps
from gradledger.recorder.schedule import StateSchedule
from gradledger.replay import settle

sys.path.insert(0, str(Path(__file__).parent))
from conftest import OPTIMIZERS, Training, two_layer


def make(steps: int, **record: Any) -> Training:
    return Training(
        OPTIMIZERS["adamw"],
        make_model=lambda: two_layer(torch.float64),
        steps=steps,
        record=record,
    )


@given(every=st.integers(1, 20), keep=st.integers(1, 6), steps=st.integers(1, 400))
def test_what_stands_follows_from_the_number_of_steps(every: int, keep: int, steps: int) -> None:
    schedule, stored = StateSchedule(every, keep), [0]
    for step in range(1, steps + 1):
        if schedule.is_due(step):
            stored.append(step)
            gone = schedule.too_many(stored, step)
            stored = [other for other in stored if other not in gone]
            stride = schedule.stride(step)
            assert stored == list(range(0, step + 1, stride))
            # The distance is at most twice what an even spread of them would have.
            assert stride == every or stride * (keep + 1) <= 2 * step
        assert len(stored) <= keep + 1
    stored = [other for other in stored if other not in schedule.too_many(stored, steps)]
    assert schedule.num_states(steps) == len({*stored, steps})


def test_a_long_run_keeps_few_states_and_verifies(tmp_path: Path) -> None:
    run = make(11, state_every=1, state_keep=3)
    run.recorded(tmp_path / "run")
    assert stored_steps(tmp_path / "run") == [0, 4, 8, 11]
    report = verify_run(tmp_path / "run")
    assert report.is_clean
    thinned = sorted(f.place for f in report.findings if f.code == "V909")
    assert thinned == [f"states/step={step}" for step in (1, 2, 3, 6)]


def test_probed_intervals_keep_their_weights(tmp_path: Path) -> None:
    probe = gl.Probe(
        "mean", torch.arange(6).view(1, 6), lambda model, x: model(x).pow(2).mean(), every=2
    )
    run = make(9, state_every=2, state_keep=1, probes=[probe])
    run.recorded(tmp_path / "run")
    assert stored_steps(tmp_path / "run") == [0, 8, 9]
    settled = settle(tmp_path / "run", run.build, run.loop, probes=[probe])
    assert settled.probes["mean"].num_intervals == 5
    assert verify_run(tmp_path / "run").is_clean


def test_a_state_that_was_thinned_without_a_word_is_missing(tmp_path: Path) -> None:
    make(6, state_every=2).recorded(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "states" / "step=2")
    assert "V301" in {finding.code for finding in verify_run(tmp_path / "run").findings}


def test_thinning_afterwards(tmp_path: Path) -> None:
    run = make(10, state_every=1)
    run.recorded(tmp_path / "run")
    settle(tmp_path / "run", run.build, run.loop, [(0, 3), (3, 10)])
    with gl.open(tmp_path / "run") as ledger:
        answer = ledger.thin_states(keep=2)
    assert stored_steps(tmp_path / "run") == [0, 3, 4, 7, 10]
    assert answer.facts["removed"] == 6
    assert answer.facts["bytes freed"] > 0
    why = {row["step"]: row["why"] for row in answer.rows}
    assert why[3] == "end of a settled interval"
    report = verify_run(tmp_path / "run")
    assert report.is_clean
    assert sum(finding.code == "V909" for finding in report.findings) == 6
    with gl.open(tmp_path / "run") as ledger:
        assert ledger.thin_states(keep=2).facts["removed"] == 0
        assert ledger.replay(build=run.build, train=run.loop, start=7).facts["same run"] is True


def test_an_open_run_is_not_thinned(tmp_path: Path) -> None:
    make(4, state_every=1).recorded(tmp_path / "run")
    (tmp_path / "run" / "end.json").unlink()
    with gl.open(tmp_path / "run") as ledger, pytest.raises(StorageError) as caught:
        ledger.thin_states()
    assert caught.value.code == "S110"


@pytest.mark.parametrize("setting", [{"state_every": -1}, {"state_keep": 1.5}])
def test_other_numbers_are_refused(setting: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        make(2, **setting).recorded(tmp_path / "run")
    assert caught.value.code == "I104"


def test_the_default_is_recorded(tmp_path: Path) -> None:
    make(2).recorded(tmp_path / "run")
    with gl.open(tmp_path / "run") as ledger:
        settings = ledger.begin.settings
    assert (settings["state_every"], settings["state_keep"]) == (50, 3)
