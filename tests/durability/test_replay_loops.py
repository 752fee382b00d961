"""Whatever the training loop looks like, a replay is the run: from each of its states."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from gradledger.errors import ReplayError
from gradledger.replay import RecordedRun, rerun
from gradledger.replay.rerun import RerunJournal, execute

sys.path.insert(0, str(Path(__file__).parent))
from test_loops import INPUTS, LABELS, LOOPS, Noisy, finish, noisy_items, one, train, update

Loop = Callable[[Any, Callable[[], Any]], None]


class Nothing:
    """An observer that looks at no update."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def book(self, recorder: Any, step: Any, sizes: Any, routed: Any) -> None:
        self.steps.append(step.number)


def build() -> tuple[nn.Module, optim.Optimizer]:
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 2))
    return model, optim.AdamW(model.parameters(), lr=0.01)


def pairs_with_a_rest(run: Any, note: Callable[[], None]) -> None:
    """Two micro-batches per step; the odd batch at the end of a pass is drawn and left unused."""
    loader = DataLoader(run.admit(TensorDataset(INPUTS, LABELS)), 2, shuffle=True)
    for _ in range(3):
        batches = iter(run.batches(loader))
        for both in zip(batches, batches, strict=False):
            with run.step() as step:
                for batch in both:
                    with step.micro_batch(batch):
                        update(run, batch)
                finish(run)
            note()


def in_workers(run: Any, note: Callable[[], None]) -> None:
    """Items are made, with noise, in two worker processes; passes end early."""
    train_set = run.admit(Noisy())
    loader = DataLoader(train_set, 3, shuffle=True, num_workers=2)
    for _ in range(3):
        for batch in run.batches(loader):
            one(run, batch)
            note()
            if run.num_steps % 4 == 0:
                break


def counts_for_itself(run: Any, note: Callable[[], None]) -> None:
    """A loop with a counter of its own that knows nothing of going on."""

    def endless() -> Iterator[Any]:
        while True:
            yield from run.batches(loader)

    loader = DataLoader(run.admit(TensorDataset(INPUTS, LABELS)), 4, shuffle=True)
    batches = endless()
    for _ in range(9):
        one(run, next(batches))
        note()


def never_the_same_order(run: Any, note: Callable[[], None]) -> None:
    """The sampler has a generator that nobody seeded: only the record knows the order."""
    train_set = run.admit(TensorDataset(INPUTS, LABELS))
    generator = torch.Generator()
    generator.seed()
    sampler = RandomSampler(train_set, generator=generator)
    loader = DataLoader(train_set, 4, sampler=sampler, num_workers=0)
    while run.num_steps < 9:
        for batch in run.batches(loader):
            one(run, batch)
            note()
            if run.num_steps == 9:
                break


MORE = (pairs_with_a_rest, in_workers, counts_for_itself, never_the_same_order)


@pytest.mark.parametrize("loop", [*LOOPS, *MORE], ids=lambda loop: loop.__name__)
def test_a_replay_is_the_run_from_every_state(loop: Loop, tmp_path: Path) -> None:
    train(loop, tmp_path / "run", noisy=(noisy_items, in_workers))
    run = RecordedRun(tmp_path / "run")
    assert run.stored_states() == sorted({*range(0, run.num_steps, 3), run.num_steps})
    # At its last states this loop finds its own condition met and does not begin a pass.
    starts = [s for s in run.stored_states() if loop.__name__ != "accumulated" or s < 9]
    for start in starts:
        for seed in (torch.manual_seed, random.seed, np.random.seed):
            seed(77 + start)
        observer = Nothing()
        rerun(run, build, lambda run: loop(run, lambda: None), observer, start=start)
        assert observer.steps == list(range(start + 1, run.num_steps + 1))


def test_the_last_state_before_a_step(tmp_path: Path) -> None:
    train(noisy_items, tmp_path / "run")
    run = RecordedRun(tmp_path / "run")
    assert [run.last_state_before(step) for step in (1, 3, 4, 7, 12)] == [0, 0, 3, 6, 9]
    with pytest.raises(ReplayError) as caught:
        execute(run, build, lambda _: None, RerunJournal(run, Nothing()), start=4)
    assert caught.value.code == "R102"


def test_a_loop_that_does_not_go_on_is_named(tmp_path: Path) -> None:
    """It names its examples itself, and from a state in the middle it begins at the first again."""

    def own(run: Any, note: Callable[[], None]) -> None:
        run.admit(TensorDataset(INPUTS, LABELS))
        for rows in np.arange(14).reshape(-1, 2):
            with run.step((INPUTS[rows], LABELS[rows]), examples=rows.tolist()):
                update(run, (INPUTS[rows], LABELS[rows]))
                finish(run)
            note()

    train(own, tmp_path / "run")
    run = RecordedRun(tmp_path / "run")
    with pytest.raises(ReplayError) as caught:
        rerun(run, build, lambda run: own(run, lambda: None), Nothing(), start=3)
    assert caught.value.code == "R141"
    assert "run.num_steps" in caught.value.hint


def test_other_noise_is_named_before_the_model_sees_it(tmp_path: Path) -> None:
    train(noisy_items, tmp_path / "run")
    run = RecordedRun(tmp_path / "run")

    def disturbed(run: Any) -> None:
        noisy_items(run, lambda: torch.rand(1))

    with pytest.raises(ReplayError) as caught:
        rerun(run, build, disturbed, Nothing())
    assert caught.value.code == "R142"
    assert "step 2" in caught.value.where
