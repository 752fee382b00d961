"""Removals of single examples cost a part of a training each.

Caveat: the demonstration's data and model at the size small, one pass over the data, so that an
example that is drawn uniformly is first presented halfway; with more passes it is first presented
earlier, and its removal costs more. It is the CPU time of two processes of one thread each, from
their start to their end, beside that of two processes that train without a recorder; states are
stored every 12 steps.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
from benchmarks.figure import Figure, NotMeasurableError
from torch import nn
from torch.utils.data import DataLoader

import gradledger as gl
from gradledger.demo.data import DemoData, load_demo_data
from gradledger.demo.manifest import default_cache
from gradledger.demo.model import build_schedule, losses_per_window
from gradledger.demo.replay import training_of
from gradledger.demo.train import Training, Windows
from gradledger.errors import StorageError
from gradledger.ledger.side_by_side import execute_removals
from gradledger.query import open_records
from gradledger.replay import TrainingLoop

ENTRY: Final = "benchmarks.bench_replay_removals:entry"
NUM_REMOVALS, NUM_PROCESSES, STATE_EVERY, SEED = 20, 2, 12, 0


def entry(size: str = "small") -> TrainingLoop:
    """Build the training without a policy again, without figures and texts."""
    training = ungoverned(_data(size))
    return TrainingLoop(training.build, training.run)


def ungoverned(data: DemoData) -> Training:
    """Return one pass over the admitted windows, all in full: what a plain loop does too."""
    training = training_of(data, torch.float32)
    rows = data.admitted
    columns = {"key": [data.columns["key"][row] for row in rows]}
    recipe = replace(training.recipe, steps=len(rows) // training.recipe.batch)
    tokens = training.tokens[torch.as_tensor(rows)]
    return replace(training, recipe=recipe, tokens=tokens, columns=columns)


def measure(size: str = "small") -> list[Figure]:
    """Measure what removals cost."""
    removals, trainings, executed = times(size)
    return [
        Figure("replay.removals_time", removals / trainings, "ratio", "lower", 0.7,
               caveat=f"{NUM_REMOVALS} removals {removals:.0f} s, {NUM_REMOVALS} trainings "
               f"{trainings:.0f} s of CPU; {executed:.2f} of the steps executed"),
    ]  # fmt: skip


def record(run_dir: Path, training: Training, state_every: int, **settings: Any) -> None:
    """Record a training without probes."""
    model, optimizer = training.build()
    with gl.record(run_dir, model, optimizer, state_every=state_every, **settings) as run:
        training.run(run)


def times(size: str) -> tuple[float, float, float]:
    """Return CPU seconds of removals and of trainings, and the share of steps executed."""
    data = _data(size)
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        named = {"replay": ENTRY, "replay_arguments": {"size": size}}
        record(run_dir, ungoverned(data), STATE_EVERY, **named)
        drawn = np.random.default_rng(SEED).permutation(len(data.admitted))[:NUM_REMOVALS]
        chosen = [int(example) for example in drawn]
        records = open_records(run_dir)
        before = _children_seconds()
        execute_removals(
            records,
            [[example] for example in chosen],
            NUM_PROCESSES,
            trust=True,
            arguments=None,
            fresh=False,
        )
        removals = _children_seconds() - before
        executed = sum(_executed(records.path, example) for example in chosen)
        records.close()
    before = _children_seconds()
    words = [sys.executable, "-m", "benchmarks.bench_replay_removals", size]
    count = str(NUM_REMOVALS // NUM_PROCESSES)
    processes = [subprocess.Popen([*words, count]) for _ in range(NUM_PROCESSES)]
    if any(process.wait() for process in processes):
        message = "a plain training failed"
        raise NotMeasurableError(message)
    return removals, _children_seconds() - before, executed / NUM_REMOVALS


def train_plainly(size: str, count: int) -> None:
    """Train the admitted windows without a recorder, several times."""
    training = ungoverned(_data(size))
    for _ in range(count):
        _train_once(training)


def _train_once(training: Training) -> None:
    recipe, tokens = training.recipe, training.tokens
    model, optimizer = training.build()
    generator = torch.Generator().manual_seed(recipe.seed)
    loader: DataLoader[Any] = DataLoader(
        Windows(tokens), batch_size=recipe.batch, shuffle=True, drop_last=True, generator=generator
    )
    schedule, done = build_schedule(recipe, optimizer), 0
    while done < recipe.steps:
        for batch in loader:
            losses_per_window(model, batch["tokens"]).mean().backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            done += 1
            if done == recipe.steps:
                break


def _executed(run_dir: Path, example: int) -> float:
    """Return the share of the steps that a removal executed."""
    for place in run_dir.with_name(f"{run_dir.name}.replays").glob("*/result.json"):
        result = json.loads(place.read_text())
        if result["intervention"]["examples"] == [example]:
            return 1 - float(result["start_step"]) / float(result["num_steps"])
    message = f"no result of the removal of example {example}"
    raise NotMeasurableError(message)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _data(size: str) -> DemoData:
    try:
        return load_demo_data(size, default_cache())
    except StorageError as error:
        raise NotMeasurableError(str(error)) from error


if __name__ == "__main__":
    torch.set_num_threads(1)
    train_plainly(sys.argv[1], int(sys.argv[2]))
