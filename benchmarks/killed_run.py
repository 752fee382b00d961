"""A training script that is killed at any moment, started again, and compared at the end.

Importing torch takes longer than the training, so each life of the script is a fork of a process
that has imported it; what is killed is a real process with a real run. The script has everything
that a resume must bring back: dropout, a shuffled loader, a scheduler per step and one per epoch,
an average of the weights, gradient clipping.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl
from gradledger.log import check_manifest
from gradledger.segment import orphan_folders, read_table

_ = gl.record  # Loaded on first use: once, before the first fork.
EPOCHS, EXAMPLES, BATCH, STATE_EVERY = 4, 26, 4, 3
NUM_STEPS = EPOCHS * -(-EXAMPLES // BATCH)
ACKNOWLEDGED = "acknowledged.txt"


def train(folder: Path) -> None:
    """Train, or go on; the script does not know which."""
    torch.set_num_threads(1)
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)  # noqa: NPY002 - the generator that a resume must bring back
    model = nn.Sequential(
        nn.Embedding(17, 8), nn.Linear(8, 12), nn.GELU(), nn.Dropout(0.2), nn.Linear(12, 17)
    )
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    warmup = optim.lr_scheduler.LinearLR(optimizer, 0.5, total_iters=9)
    decay = optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    average = optim.swa_utils.AveragedModel(model)
    tokens = torch.randint(0, 17, (EXAMPLES, 9), generator=torch.Generator().manual_seed(5))
    run = gl.record(
        folder / "run", model, optimizer, resume=True, state_every=STATE_EVERY, seal_steps=2
    )
    with run:
        run.track(warmup=warmup, decay=decay, average=average)
        train_set = run.admit(TensorDataset(tokens), {"source": ["a"] * 13 + ["b"] * 13})
        loader = DataLoader(train_set, batch_size=BATCH, shuffle=True)
        for _ in range(EPOCHS):
            for batch in run.batches(loader):
                with run.step(batch) as step:
                    logits = model(batch[0][:, :-1])
                    losses = nn.functional.cross_entropy(
                        logits.flatten(0, 1), batch[0][:, 1:].flatten(), reduction="none"
                    )
                    rows = losses.view(len(batch[0]), -1).mean(1)
                    rows.mean().backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    step.losses(rows)
                optimizer.zero_grad()
                _acknowledge(folder, step.number)
                average.update_parameters(model)
                if run.num_steps <= 9:
                    warmup.step()
            decay.step()
    average_state = {name: value.double().sum().item() for name, value in _floats(average)}
    (folder / "average.json").write_text(json.dumps(average_state), encoding="utf-8")


def _floats(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [
        (name, value) for name, value in module.state_dict().items() if value.is_floating_point()
    ]


def _acknowledge(folder: Path, step: int) -> None:
    """Write down, outside the run, that a step was booked."""
    descriptor = os.open(folder / ACKNOWLEDGED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, f"{step}\n".encode())
    os.close(descriptor)


@dataclass
class Outcome:
    """What came of a run that was killed and resumed until it was done.

    Attributes:
        kills: Times that it was killed before it was done.
        lost: Steps or visits that are missing, acknowledged steps without any record included.
        doubled: Steps or visits that count twice.
        unequal: What differs from the undisturbed run in any bit.
        unbalanced: Books that do not balance.
        orphans: Steps that were cut off and kept.
        errors: Lives that ended in an error.
    """

    kills: int = 0
    lost: int = 0
    doubled: int = 0
    unequal: list[str] = field(default_factory=list)
    unbalanced: int = 0
    orphans: int = 0
    errors: int = 0


def live(folder: Path, before: Callable[[], None] | None = None) -> int:
    """Fork one life of the script; return its process id."""
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        errors = os.open(folder / "errors.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(errors, 2)
        if before is not None:
            before()
        train(folder)
        code = 0
    except BaseException:  # noqa: BLE001 - a forked child must never return to its caller
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def undisturbed(folder: Path) -> float:
    """Train without a kill; return the wall seconds."""
    started = time.perf_counter()
    status = os.waitpid(live(folder), 0)[1]
    if status != 0:
        raise RuntimeError((folder / "errors.txt").read_text(encoding="utf-8"))
    return time.perf_counter() - started


def killed_at_random(folder: Path, chance: random.Random, seconds: float, most: int) -> Outcome:
    """Kill lives after a random time until one is done; at most ``most`` kills."""
    outcome = Outcome()
    while True:
        child = live(folder)
        if outcome.kills < most:
            time.sleep(chance.uniform(0.0, seconds))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            outcome.kills += 1
        else:
            outcome.errors += status != 0
            return outcome


def killed_at_calls(folder: Path, chance: random.Random, most: int, largest: int) -> Outcome:
    """Kill lives just before a random write, flush or rename until one is done.

    Args:
        folder: Holds the run.
        chance: Chooses the calls.
        most: Kills at most.
        largest: Calls among which to choose; a life makes a few hundred.
    """
    outcome = Outcome()
    while True:
        place = chance.randrange(largest) if outcome.kills < most else None
        status = os.waitpid(live(folder, partial(kill_at_call, place)), 0)[1]
        if os.WIFSIGNALED(status):
            outcome.kills += 1
        else:
            outcome.errors += status != 0
            return outcome


def kill_at_call(place: int | None) -> None:
    """Make this process die at its n-th call that changes the disk."""
    seen = [0]

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if seen[0] == place:
                os.kill(os.getpid(), signal.SIGKILL)
            seen[0] += 1
            return call(*args, **kwargs)

        return counted

    for name in ("write", "fsync", "replace", "rename", "mkdir", "unlink", "ftruncate"):
        setattr(os, name, dying(getattr(os, name)))


def compare(folder: Path, reference: Path, outcome: Outcome) -> Outcome:
    """Fill in what a finished run lost, doubled or changed against the undisturbed one."""
    run, other = folder / "run", reference / "run"
    names = [name for name in read_table(other, "visits").column_names if name != "digest"]
    _count_rows(run, other, outcome)
    for table, columns in (
        ("visits", names),
        ("books", read_table(other, "books").column_names),
        ("steps", ["step", "visits", "loss", *_FINGERPRINTS, "verdict", "skipped"]),
    ):
        found, expected = (read_table(where, table, columns).to_pydict() for where in (run, other))
        outcome.unequal += [
            f"{table}.{name}" for name in columns if not _same(found[name], expected[name])
        ]
    ends = [json.loads((where / "end.json").read_text()) for where in (run, other)]
    for name in ("num_steps", "num_visits", "final_digest", "balance"):
        if ends[0][name] != ends[1][name]:
            outcome.unequal.append(f"end.{name}")
    if (folder / "average.json").exists() and (folder / "average.json").read_bytes() != (
        reference / "average.json"
    ).read_bytes():
        outcome.unequal.append("average")
    outcome.unequal += [f"manifest: {item.place}" for item in check_manifest(run)]
    verdicts = read_table(run, "books", ["verdict"])["verdict"].to_pylist()
    outcome.unbalanced = sum(verdict in {"unbalanced", "not finite"} for verdict in verdicts)
    return outcome


_FINGERPRINTS = ("fingerprint_before", "fingerprint_after", "rng_fingerprint")


def _count_rows(run: Path, other: Path, outcome: Outcome) -> None:
    keys = ["step", "micro_batch", "position", "example"]
    counts = []
    for where in (run, other):
        rows = read_table(where, "visits", keys).to_pydict()
        counts.append(Counter(zip(*(rows[key] for key in keys), strict=True)))
    steps = Counter(read_table(run, "steps", ["step"])["step"].to_pylist())
    wanted = range(1, NUM_STEPS + 1)
    outcome.lost = (counts[1] - counts[0]).total() + sum(steps[number] == 0 for number in wanted)
    outcome.doubled = (counts[0] - counts[1]).total() + sum(steps[n] > 1 for n in wanted)
    for name in orphan_folders(run).values():
        for path in sorted((name / "steps").glob("part-*.parquet")):
            cut_off = pq.read_table(path, columns=["step"], partitioning=None)["step"].to_pylist()
            steps.update(cut_off)
            outcome.orphans += len(cut_off)
    said = Counter(map(int, (run.parent / ACKNOWLEDGED).read_text().split()))
    outcome.lost += (said - steps).total()


def _same(found: list[Any], expected: list[Any]) -> bool:
    """Equal in every bit, NaN and null included."""
    if len(found) != len(expected):
        return False
    if found and all(isinstance(value, float) for value in found):
        return np.asarray(found).tobytes() == np.asarray(expected).tobytes()
    return repr(found) == repr(expected)


def kill_and_compare(folder: Path, seed: int, num_kills: int, most_per_run: int) -> list[Outcome]:
    """Kill and resume runs, by turns at random times and at random calls, until enough were killed.

    Args:
        folder: Takes the runs.
        seed: Decides every kill.
        num_kills: Kills over all runs, at least.
        most_per_run: Kills of one run, at most.
    """
    warnings.simplefilter("ignore", DeprecationWarning)  # Forking beside threads: none run here.
    seconds = undisturbed(folder / "undisturbed")
    chance, outcomes = random.Random(seed), list[Outcome]()  # noqa: S311 - kills need no secrets
    while sum(outcome.kills for outcome in outcomes) < num_kills:
        run = folder / f"killed-{len(outcomes)}"
        left = num_kills - sum(outcome.kills for outcome in outcomes)
        most = min(most_per_run, left)
        if len(outcomes) % 2:
            outcome = killed_at_random(run, chance, 0.7 * seconds, most)
        else:
            outcome = killed_at_calls(run, chance, most, 400)
        if outcome.errors:
            raise RuntimeError((run / "errors.txt").read_text(encoding="utf-8"))
        outcomes.append(compare(run, folder / "undisturbed", outcome))
    return outcomes


def main() -> None:
    """Print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--most-per-run", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = kill_and_compare(Path(folder), options.seed, options.kills, options.most_per_run)
    json.dump([asdict(outcome) for outcome in outcomes], sys.stdout)


if __name__ == "__main__":
    main()
