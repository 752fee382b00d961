"""The settling pass: the same run again, and displacement that adds up to one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradledger.errors import ReplayError
from gradledger.log import check_manifest
from gradledger.replay import settle
from gradledger.segment import read_table

sys.path.insert(0, str(Path(__file__).parents[1] / "recorder"))
from conftest import OPTIMIZERS, Training, two_layer


def make(name: str, dtype: torch.dtype = torch.float64, **more: Any) -> Training:
    return Training(OPTIMIZERS[name], make_model=lambda: two_layer(dtype), steps=10, **more)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_lines_add_up_to_the_displacement(name: str, tmp_path: Path) -> None:
    run = make(name)
    run.recorded(tmp_path / "run")
    settled = settle(tmp_path / "run", run.build, run.loop)
    shares = settled.shares[0]
    total = sum(values for line, values in shares.items() if line != "accrual_residual")
    assert np.abs(total - 1).max() < 1e-9
    assert settled.num_steps == 10
    assert check_manifest(tmp_path / "run") == []


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_visits_add_up_to_their_line(name: str, tmp_path: Path) -> None:
    run = make(name)
    run.recorded(tmp_path / "run")
    settle(tmp_path / "run", run.build, run.loop)
    visits = read_table(tmp_path / "run", "displacement/visits").to_pydict()
    lines = read_table(tmp_path / "run", "displacement/lines").to_pydict()
    for place, line in enumerate(lines["line"]):
        if line == "accrued_contributions":
            column = visits[f"share_{lines['group'][place]}"]
            assert sum(column) == pytest.approx(lines["dot"][place], rel=1e-9)


def test_entries_are_those_of_single_examples(tmp_path: Path) -> None:
    """Plain SGD: the entry of a visit is -eta times its gradient; the oracle is autograd."""
    run = make("sgd", clip=None)
    run.recorded(tmp_path / "run")
    settle(tmp_path / "run", run.build, run.loop)
    from safetensors.torch import load_file

    states = tmp_path / "run" / "states"
    first, last = (load_file(states / name / "model.safetensors") for name in ("step=0", "step=10"))
    visits = read_table(tmp_path / "run", "displacement/visits").to_pydict()
    model, optimizer = run.build()
    tokens = run.data().tensors[0]
    for step in range(1, 11):
        rows = [row for row, number in enumerate(visits["step"]) if number == step]
        for row in rows:
            model.zero_grad()
            example = visits["example"][row]
            (run.loss(model, tokens[example : example + 1]).sum() / len(rows)).backward()
            for group, prefix in enumerate(("0", "1", "3", "4")):
                expected = sum(
                    float(((last[name] - first[name]) * -0.1 * value.grad).sum())
                    for name, value in model.named_parameters()
                    if name.startswith(prefix)
                )
                assert visits[f"share_{group}"][row] == pytest.approx(expected, rel=1e-9, abs=1e-14)
        model.zero_grad()
        batch = tokens[[visits["example"][row] for row in rows]]
        run.loss(model, batch).mean().backward()
        optimizer.step()


def test_intervals_between_stored_states(tmp_path: Path) -> None:
    run = make("adamw", record={"state_every": 5})
    run.recorded(tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(ReplayError) as caught:
        settle(tmp_path / "run", run.build, run.loop, [(0, 5), (0, 7)])
    assert caught.value.code == "R102"
    assert contents(tmp_path / "run") == before
    settled = settle(tmp_path / "run", run.build, run.loop, [(0, 5), (5, 10), (0, 10)])
    assert len(settled.shares) == 3
    for shares in settled.shares:
        total = sum(values for line, values in shares.items() if line != "accrual_residual")
        assert np.abs(total - 1).max() < 1e-9


class KilledError(Exception):
    """Stands for a kill."""


def test_a_pass_that_was_killed_goes_on_with_the_same_result(tmp_path: Path) -> None:
    run = make("adamw", record={"state_every": 3})
    run.recorded(tmp_path / "whole" / "run")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    expected = settle(tmp_path / "whole" / "run", run.build, run.loop, [(0, 10), (3, 9)])

    def stop(step: int, _: int) -> None:
        if step == 8:
            raise KilledError

    with pytest.raises(KilledError):
        settle(tmp_path / "cut" / "run", run.build, run.loop, [(0, 10), (3, 9)], progress=stop)
    executed: list[int] = []
    found = settle(
        tmp_path / "cut" / "run",
        run.build,
        run.loop,
        [(0, 10), (3, 9)],
        progress=lambda step, _: executed.append(step),
    )
    assert executed == [7, 8, 9, 10]
    for one, other in zip(found.shares, expected.shares, strict=True):
        assert one.keys() == other.keys()
        for line, values in one.items():
            # Inner products depend on how memory is aligned, to the last bits of a sum of parts.
            np.testing.assert_allclose(values, other[line], rtol=1e-12, atol=1e-15)
    visits = [
        read_table(tmp_path / name / "run", "displacement/visits").to_pydict()
        for name in ("cut", "whole")
    ]
    for name, values in visits[0].items():
        assert values == pytest.approx(visits[1][name], rel=1e-12, abs=1e-15)
    assert not list((tmp_path / "cut" / "run.replays").iterdir())
    assert check_manifest(tmp_path / "cut" / "run") == []


def test_a_settled_run_is_not_settled_again(tmp_path: Path) -> None:
    """A second pass would double the displacement of every visit."""
    run = make("adamw", record={"state_every": 5})
    run.recorded(tmp_path / "run")
    settle(tmp_path / "run", run.build, run.loop)
    before = contents(tmp_path / "run")
    assert any(name.startswith("displacement/") for name in before)
    for intervals in (None, [(0, 5)]):
        with pytest.raises(ReplayError) as caught:
            settle(tmp_path / "run", run.build, run.loop, intervals)
        assert caught.value.code == "R106"
        assert contents(tmp_path / "run") == before
    assert check_manifest(tmp_path / "run") == []


def test_another_script_is_noticed_at_its_first_step(tmp_path: Path) -> None:
    run = make("adamw")
    run.recorded(tmp_path / "run")
    run.clip = 0.5
    with pytest.raises(ReplayError) as caught:
        settle(tmp_path / "run", run.build, run.loop)
    assert caught.value.code == "R103"
    assert "after step 1" in caught.value.observed


def test_other_data_are_noticed_before_the_first_step(tmp_path: Path) -> None:
    run = make("adamw")
    run.recorded(tmp_path / "run")
    data = run.data()
    data.tensors[0][3, 3] = (data.tensors[0][3, 3] + 1) % 13
    run.data = lambda: data  # type: ignore[method-assign]
    with pytest.raises(ReplayError) as caught:
        settle(tmp_path / "run", run.build, run.loop)
    assert caught.value.code == "R104"


def test_a_loop_that_ends_early_is_noticed(tmp_path: Path) -> None:
    run = make("adamw")
    run.recorded(tmp_path / "run")
    run.steps = 9
    with pytest.raises(ReplayError) as caught:
        settle(tmp_path / "run", run.build, run.loop)
    assert caught.value.code == "R105"


def test_an_open_run_cannot_be_settled(tmp_path: Path) -> None:
    run = make("adamw")
    run.recorded(tmp_path / "run")
    (tmp_path / "run" / "end.json").unlink()
    with pytest.raises(ReplayError) as caught:
        settle(tmp_path / "run", run.build, run.loop)
    assert caught.value.code == "R101"
