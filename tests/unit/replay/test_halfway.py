"""A sweep that is cut off goes on where it was, and ends in the same derivatives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import optim

from gradledger.replay.adjoint import derive
from gradledger.replay.adjoint.halfway import Keeper
from gradledger.replay.recorded import RecordedRun

sys.path.insert(0, str(Path(__file__).parent))
from test_adjoint import behaviours
from whatif_oracle import make


class CutOffError(Exception):
    """What a test stops a sweep with."""


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write after every step."""
    original = Keeper.__init__

    def hasty(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs, every_seconds=-1.0)

    monkeypatch.setattr(Keeper, "__init__", hasty)


def recorded(folder: Path) -> Any:
    run = make("adamw")
    run.make_optimizer = lambda p: optim.AdamW(p, lr=1e-2, eps=1e-3)
    run.clip = 0.5
    run.recorded(folder)
    return run


def cut(steps: int) -> Any:
    """Stop after so many slots."""

    def progress(done: int, _total: int) -> None:
        if done == steps:
            raise CutOffError

    return progress


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(("memory", "after"), [(1 << 30, 11), (1 << 30, 17), (0, 14), (0, 20)])
def test_it_ends_in_the_same_derivatives(memory: int, after: int, tmp_path: Path) -> None:
    run, keep = recorded(tmp_path / "run"), tmp_path / "kept" / "halfway.safetensors"
    found, asked = RecordedRun(tmp_path / "run"), behaviours(run)
    whole = derive(found, run.build, run.loop, asked, memory_bytes=memory)
    with pytest.raises(CutOffError):
        derive(
            found,
            run.build,
            run.loop,
            asked,
            memory_bytes=memory,
            keep=keep,
            progress=cut(after),
        )
    assert keep.exists()
    again = derive(found, run.build, run.loop, asked, memory_bytes=memory, keep=keep)
    assert again.num_steps_taken < whole.num_steps_taken
    assert not keep.parent.exists()
    assert np.array_equal(again.by_visit, whole.by_visit)
    assert np.array_equal(again.by_group, whole.by_group)
    assert np.array_equal(again.through, whole.through)
    assert np.array_equal(again.values, whole.values)


@pytest.mark.usefixtures("often")
def test_what_is_of_another_question_is_passed_over(tmp_path: Path) -> None:
    run, keep = recorded(tmp_path / "run"), tmp_path / "kept" / "halfway.safetensors"
    found, asked = RecordedRun(tmp_path / "run"), behaviours(run)

    def leave() -> None:
        with pytest.raises(CutOffError):
            derive(found, run.build, run.loop, asked, keep=keep, progress=cut(13))
        assert keep.exists()

    leave()
    name, figure = next(iter(asked.items()))
    others: list[dict[str, Any]] = [
        {name: figure},
        {**asked, name: lambda model: 2.0 * figure(model)},
    ]
    for other in others:
        expected = derive(found, run.build, run.loop, other)
        again = derive(found, run.build, run.loop, other, keep=keep)
        assert again.num_steps_taken == expected.num_steps_taken
        assert np.array_equal(again.by_visit, expected.by_visit)
        leave()
    keep.write_bytes(keep.read_bytes()[:-40])
    expected = derive(found, run.build, run.loop, asked)
    assert np.array_equal(
        derive(found, run.build, run.loop, asked, keep=keep).by_visit, expected.by_visit
    )
