"""A replay that changes nothing is the run, bit for bit: three models, three ways to begin.

Caveat: one CPU, one thread, one version of every library; 200 steps each. The decoder is the
demonstration's, GPT-2 has dropout everywhere, the CNN sees augmented images. Counted are steps
whose state is not that of the record; a replay that was broken off goes on behind its last stored
state.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmarks.figure import Figure
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, Dataset

from gradledger.demo.data import load_demo_data
from gradledger.demo.manifest import default_cache
from gradledger.demo.replay import training_of
from gradledger.ledger import open_ledger
from gradledger.recorder import Recorder, record

STEPS = 200

Build = Callable[[], tuple[nn.Module, optim.Optimizer]]
Train = Callable[[Recorder], None]


class BrokenOffError(Exception):
    """Stands for a kill of the replay."""


def measure() -> list[Figure]:
    """Count differing steps of every model and begin."""
    torch.set_num_threads(1)
    figures = []
    for name, (build, train) in {"demo": demo(), "gpt2": gpt2(), "cnn": cnn()}.items():
        with TemporaryDirectory() as folder:
            run_dir = Path(folder) / "run"
            with record(run_dir, *build(), verify_content=False) as run:
                train(run)
            for begin, differing in differences(run_dir, build, train).items():
                figures.append(
                    Figure(
                        f"replay.identical_{name}_{begin}",
                        float(differing),
                        "steps that differ",
                        "equal",
                        0.0,
                        caveat=f"{STEPS} steps, one thread",
                    )
                )
    return figures


def differences(run_dir: Path, build: Build, train: Train) -> dict[str, int]:
    """Replay from the opening, from the middle and after a kill; count what differs."""

    def stop(step: int, _: int) -> None:
        if step == STEPS - 40:
            raise BrokenOffError

    found = {}
    with open_ledger(run_dir) as ledger:
        loop: dict[str, Any] = {"build": build, "train": train}
        middle = [row["step"] for row in ledger.states(check=False).rows][1]
        whole = ledger.replay(start=0, **loop)
        found["start"] = STEPS - _identical(whole)
        found["middle"] = STEPS - middle - _identical(ledger.replay(start=middle, **loop))
        with suppress(BrokenOffError):
            ledger.replay(fresh=True, progress=stop, **loop)
        rest = ledger.replay(**loop)
        before = int(rest.facts["found identical before"].split()[3].rstrip(","))
        found["kill"] = STEPS - before - _identical(rest)
    return found


def _identical(answer: Any) -> int:
    return int(str(answer.facts["bit-identical steps"]).split()[0])


def demo() -> tuple[Build, Train]:
    """The demonstration's decoder."""
    data = load_demo_data("small", default_cache(), now=datetime.now(UTC))
    training = training_of(data, torch.float32)
    training = replace(training, recipe=replace(training.recipe, steps=STEPS))
    return training.build, training.run


class Rows(Dataset[Any]):
    """Items that are made when they are read."""

    def __init__(self, count: int, make: Callable[[int], Any]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> Any:
        return self._make(place)


def gpt2() -> tuple[Build, Train]:
    """Two blocks of GPT-2 with dropout 0.1."""
    from transformers import GPT2Config, GPT2LMHeadModel

    def build() -> tuple[nn.Module, optim.Optimizer]:
        torch.manual_seed(0)
        config = GPT2Config(n_layer=2, n_head=2, n_embd=32, n_positions=24, vocab_size=64)
        model: nn.Module = GPT2LMHeadModel(config)
        return model, optim.AdamW(model.parameters(), lr=1e-3)

    tokens = torch.randint(0, 64, (60, 24), generator=torch.Generator().manual_seed(1))

    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        logits = model(input_ids=batch).logits[:, :-1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    return build, _loop(Rows(60, lambda place: tokens[place]), loss)


def cnn() -> tuple[Build, Train]:
    """Two convolutions on noisy, flipped images."""

    def build() -> tuple[nn.Module, optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3),
            nn.GroupNorm(2, 6),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 36, 4),
        )
        return model, optim.SGD(model.parameters(), lr=0.02, momentum=0.9)

    images = torch.randn(60, 1, 10, 10, generator=torch.Generator().manual_seed(2))

    def item(place: int) -> tuple[Tensor, int]:
        image = images[place] + 0.1 * torch.randn(1, 10, 10)
        return (image.flip(-1) if torch.rand(()) < 0.5 else image), place % 4

    def loss(model: nn.Module, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    return build, _loop(Rows(60, item), loss)


def _loop(data: Dataset[Any], loss: Callable[[nn.Module, Any], Tensor]) -> Train:
    def train(run: Recorder) -> None:
        loader = DataLoader(run.admit(data), batch_size=4, shuffle=True)
        schedule = optim.lr_scheduler.CosineAnnealingLR(run.optimizer, STEPS)
        run.track(schedule=schedule)
        while run.num_steps < STEPS:
            for batch in run.batches(loader):
                with run.step(batch):
                    loss(run.model, batch).backward()  # type: ignore[no-untyped-call]
                    run.optimizer.step()
                    run.optimizer.zero_grad()
                schedule.step()
                if run.num_steps == STEPS:
                    return

    return train
