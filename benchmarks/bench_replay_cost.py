"""What a replay and a settling pass cost, what settling adds up to, and what states take on disk.

Caveat: the small demonstration's decoder on one thread, processor time, the smallest of three
repeats of each, in turns. Plain training is the same loop without a recorder. The settling pass
books displacement over the whole run; the sums of both measures are taken in float64 on a shorter
run. The second measure, the frozen-curvature adjoint, executes every step twice and is timed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmarks.figure import Figure
from torch.utils.data import Subset

from gradledger.demo.data import DemoData, load_demo_data
from gradledger.demo.manifest import default_cache
from gradledger.demo.replay import training_of
from gradledger.demo.train import Training
from gradledger.ledger import open_ledger
from gradledger.recorder import record
from gradledger.replay import settle
from gradledger.segment import read_table

REPEATS = 3


def measure() -> list[Figure]:
    """Time plain training, replay and settling in turns."""
    torch.set_num_threads(1)
    data = load_demo_data("small", default_cache(), now=datetime.now(UTC))
    training = training_of(data, torch.float32)
    seconds: dict[str, list[float]] = {"plain": [], "replay": [], "settle": []}
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        with record(run_dir, *training.build()) as run:
            training.run(run)
        disk = _states_in_models(run_dir)
        frozen = _time(lambda: _settle_frozen(run_dir, training))
        rmtree(run_dir / "frozen")
        for _ in range(REPEATS):
            seconds["plain"].append(_time(lambda: training.run(plain_recorder(training, data))))
            seconds["replay"].append(_time(lambda: _replay(run_dir, training)))
            seconds["settle"].append(_time(lambda: settle(run_dir, training.build, training.run)))
            rmtree(run_dir / "displacement")
    plain = min(seconds["plain"])
    sums = _settling_errors(data)
    caveat = "processor time of one thread, smallest of three; demonstration of size small"
    return [
        Figure(
            "replay.time_ratio",
            min(seconds["replay"]) / plain,
            "ratio",
            bar=1.05,
            spread=(max(seconds["replay"]) - min(seconds["replay"])) / plain,
            caveat=caveat,
        ),
        Figure(
            "replay.settling_time",
            min(seconds["settle"]) / plain,
            "ratio",
            bar=1.6,
            spread=(max(seconds["settle"]) - min(seconds["settle"])) / plain,
            caveat=caveat,
        ),
        Figure(
            "replay.settling_sum",
            sums[0],
            "of the displacement",
            bar=1e-9,
            caveat="largest |sum of all lines - 1| over groups, float64, 40 steps",
        ),
        Figure(
            "replay.frozen_sum",
            sums[1],
            "of the displacement",
            bar=1e-9,
            caveat="frozen-curvature adjoint: largest |sum of all lines - 1| over groups, float64, "
            "40 steps",
        ),
        Figure(
            "replay.frozen_time",
            frozen / plain,
            "ratio",
            caveat="frozen-curvature adjoint, every step twice; measured once, without a bar",
        ),
        Figure(
            "replay.states_disk",
            disk,
            "model sizes",
            bar=20.0,
            caveat="all stored states at the default schedule, demonstration of size small",
        ),
    ]


class _Plain:
    """What the demonstration's loop needs of a recorder, doing nothing."""

    def __init__(self, training: Training, data: DemoData) -> None:
        self.model, self.optimizer = training.build()
        self.num_steps, self._admitted = 0, [int(place) for place in data.admitted]

    def admit(self, dataset: Any, metadata: Any = None) -> Any:  # noqa: ARG002 - as a recorder
        return Subset(dataset, self._admitted)

    def batches(self, loader: Any) -> Iterator[Any]:
        return iter(loader)

    def step(self, batch: Any) -> Any:  # noqa: ARG002 - as a recorder
        return nullcontext(_Step())

    def track(self, **objects: Any) -> None:
        """Nothing is kept."""


def plain_recorder(training: Training, data: DemoData) -> Any:
    """Return what stands in for a recorder in plain training."""
    return _Plain(training, data)


class _Step:
    def losses(self, values: Any) -> None:
        """Nothing is booked."""


def _time(act: Callable[[], Any]) -> float:
    started = time.process_time()
    act()
    return time.process_time() - started


def _replay(run_dir: Path, training: Training) -> None:
    with open_ledger(run_dir) as ledger:
        answer = ledger.replay(build=training.build, train=training.run, fresh=True)
    if not answer.facts["same run"]:
        message = "the replay is not the run"
        raise ValueError(message)


def _states_in_models(run_dir: Path) -> float:
    states = run_dir / "states"
    used = sum(path.stat().st_size for path in states.rglob("*") if path.is_file())
    return used / (states / "step=0" / "model.safetensors").stat().st_size


def _settle_frozen(run_dir: Path, training: Training) -> None:
    with open_ledger(run_dir) as ledger:
        ledger.settle(measure="frozen", build=training.build, train=training.run)


def _settling_errors(data: DemoData) -> tuple[float, float]:
    """Return the error of the sum of lines of displacement, and of the frozen-curvature adjoint."""
    training = training_of(data, torch.float64)
    training = replace(training, recipe=replace(training.recipe, steps=40))
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        with record(run_dir, *training.build()) as run:
            training.run(run)
        settle(run_dir, training.build, training.run)
        _settle_frozen(run_dir, training)
        return (
            _error(run_dir, "displacement", "accrual_residual"),
            _error(run_dir, "frozen", "frozen_residual"),
        )


def _error(run_dir: Path, table: str, residual: str) -> float:
    """Return the largest |sum of shares - 1| over groups, without the line of what is left over."""
    sums: dict[int, float] = {}
    for row in read_table(run_dir, f"{table}/lines").to_pylist():
        if row["line"] != residual:
            share = row["dot"] / row["displacement_sq"]
            sums[row["group"]] = sums.get(row["group"], 0.0) + share
    return max(abs(total - 1) for total in sums.values())
