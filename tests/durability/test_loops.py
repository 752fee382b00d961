"""Whatever the training loop looks like, a resumed run ends in the same bits."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset

import gradledger as gl
from gradledger.segment import read_table

Note = Callable[[], None]
INPUTS = torch.randn(14, 5, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(14) % 2


class Noisy(Dataset[Any]):
    """Draws noise from the global generator for every item."""

    def __len__(self) -> int:
        return len(INPUTS)

    def __getitem__(self, place: int) -> Any:
        shift = torch.rand(()) + random.random() + np.random.rand()  # noqa: NPY002, S311
        return INPUTS[place] + shift, LABELS[place]


def update(run: Any, batch: Any) -> None:
    loss = nn.functional.cross_entropy(run.model(batch[0].float()), batch[1])
    loss.backward()


def finish(run: Any) -> None:
    run.optimizer.step()
    run.optimizer.zero_grad()


def one(run: Any, batch: Any) -> None:
    with run.step(batch):
        update(run, batch)
        finish(run)


def noisy_items(run: Any, note: Note) -> None:
    """Items and order draw from the same generator."""
    loader = DataLoader(run.admit(Noisy()), 4, shuffle=True)
    for _ in range(3):
        for batch in run.batches(loader):
            one(run, batch)
            note()


def own_loader(run: Any, note: Note) -> None:
    """The script feeds its own batches and looks at where it stands."""
    run.admit(TensorDataset(INPUTS, LABELS))
    order = np.random.default_rng(3).permutation(np.tile(np.arange(14), 4)).reshape(-1, 4)
    for rows in order[run.num_steps :]:
        batch = (INPUTS[rows], LABELS[rows])
        with run.step(batch, examples=rows.tolist()):
            update(run, batch)
            finish(run)
        note()


def accumulated(run: Any, note: Note) -> None:
    """Two micro-batches per step, drawn inside the step."""
    loader = DataLoader(run.admit(TensorDataset(INPUTS, LABELS)), 2, shuffle=True)
    while run.num_steps < 9:
        batches = run.batches(loader)
        for first in batches:
            with run.step() as step:
                with step.micro_batch(first):
                    update(run, first)
                second = next(batches, None)
                if second is not None:
                    with step.micro_batch(second):
                        update(run, second)
                finish(run)
            note()


def drawn_inside(run: Any, note: Note) -> None:
    """The batch is drawn when the step is open already."""
    loader = DataLoader(run.admit(TensorDataset(INPUTS, LABELS)), 1, shuffle=True)
    batches = run.batches(loader)
    while run.num_steps < 12:
        with run.step() as step:
            batch = next(batches)
            with step.micro_batch(batch):
                update(run, batch)
            finish(run)
        note()


def broken_off(run: Any, note: Note) -> None:
    """Passes end early; what follows a pass draws random numbers."""
    loader = DataLoader(run.admit(TensorDataset(INPUTS, LABELS)), 3, shuffle=True)
    for _ in range(4):
        for number, batch in enumerate(run.batches(loader)):
            one(run, batch)
            note()
            if number == 2:
                break
        torch.rand(3)


def two_loaders(run: Any, note: Note) -> None:
    """Two data sets by turns, with a sampler that has a generator of its own."""
    part = TensorDataset(INPUTS[:6], LABELS[:6])
    first = run.admit(part, {"source": ["a"] * 6, "score": [0.5, float("nan")] * 3})
    second = run.admit(TensorDataset(INPUTS[6:], LABELS[6:]), {"source": ["b"] * 8})
    sampler = RandomSampler(
        first, replacement=True, num_samples=9, generator=torch.Generator().manual_seed(2)
    )
    loaders = (DataLoader(first, 2, sampler=sampler), DataLoader(second, 3, shuffle=True))
    for _ in range(2):
        for loader in loaders:
            for batch in run.batches(loader):
                one(run, batch)
                note()


def side_by_side(run: Any, note: Note) -> None:
    """Two passes are open at once; whose turn it is follows from the steps that stand."""
    train_set = run.admit(TensorDataset(INPUTS, LABELS))
    loaders = [DataLoader(train_set, 2, shuffle=True) for _ in range(2)]

    def by_turns() -> Iterator[Any]:
        passes = [iter(run.batches(loader)) for loader in loaders]
        while run.num_steps < 14:
            yield next(passes[run.num_steps % 2])

    for batch in by_turns():
        one(run, batch)
        note()


LOOPS = (
    noisy_items,
    own_loader,
    accumulated,
    drawn_inside,
    broken_off,
    two_loaders,
    side_by_side,
)


def train(
    loop: Any,
    run_dir: Path,
    copy_to: Path | None = None,
    copy_at: int = 0,
    noisy: tuple[Any, ...] = (noisy_items,),
) -> list[bytes]:
    for seed in (torch.manual_seed, random.seed, np.random.seed):
        seed(4)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 2))
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    run = gl.record(
        run_dir,
        model,
        optimizer,
        resume=True,
        state_every=3,
        seal_steps=2,
        on_imbalance="strict",
        verify_content=loop not in noisy,
    )

    def note() -> None:
        if copy_to is not None and run.num_steps == copy_at and not copy_to.exists():
            shutil.copytree(run_dir, copy_to, ignore=shutil.ignore_patterns("run.lock"))

    with run:
        loop(run, note)
    return [value.detach().numpy().tobytes() for value in model.parameters()]


@pytest.mark.parametrize("copy_at", [3, 5, 6, 7, 8])
@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_loop(loop: Any, copy_at: int, tmp_path: Path) -> None:
    expected = train(loop, tmp_path / "whole", tmp_path / "cut", copy_at)
    assert train(loop, tmp_path / "cut") == expected
    for table, names in (
        ("visits", ["step", "micro_batch", "position", "example", "decision"]),
        ("steps", ["step", "visits", "fingerprint_after", "rng_fingerprint"]),
    ):
        found, wanted = (
            read_table(tmp_path / where, table, names).to_pydict() for where in ("cut", "whole")
        )
        assert found == wanted
    record = json.loads((tmp_path / "cut" / "resumes" / "resume-0001.json").read_text())
    assert record["step"] in {copy_at // 3 * 3, (copy_at - 1) // 3 * 3}
