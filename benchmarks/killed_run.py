"""A training script that is killed at any moment, started again, and compared at the end.

Importing torch takes longer than the training, so each life of the script is a fork of a process
that has imported it; what is killed is a real process with a real run. The script has everything
that a resume must bring back: dropout, a shuffled loader, a scheduler per step and one per epoch,
an average of the weights, gradient clipping.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.killed_outcome import ACKNOWLEDGED, Outcome, compare
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl
from gradledger.log import SigningKey, save_key

#: Whatever fails or counts the calls of this process leaves the script's own notes alone.
_open, _write = os.open, os.write
_ = gl.record  # Loaded on first use: once, before the first fork.
EPOCHS, EXAMPLES, BATCH, STATE_EVERY = 4, 26, 4, 3
#: File beside the runs with the key that signs their logs; without it nobody does.
KEY = "signing.key"
#: Exit code of a life that ended because the disk refused, and said so.
DISK_REFUSES = 3
NUM_STEPS = EPOCHS * -(-EXAMPLES // BATCH)


def train(folder: Path, most_steps: int = NUM_STEPS) -> None:
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
    key = folder.parent / KEY
    run = gl.record(
        folder / "run",
        model,
        optimizer,
        resume=True,
        state_every=STATE_EVERY,
        seal_steps=2,
        key=key if key.exists() else None,
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
                if run.num_steps == most_steps:
                    break
            decay.step()
            if run.num_steps == most_steps:
                break
    average_state = {name: value.double().sum().item() for name, value in _floats(average)}
    (folder / "average.json").write_text(json.dumps(average_state), encoding="utf-8")


def _floats(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [
        (name, value) for name, value in module.state_dict().items() if value.is_floating_point()
    ]


def _acknowledge(folder: Path, step: int) -> None:
    """Write down, outside the run, that a step was booked; a full disk may refuse this too."""
    with contextlib.suppress(OSError):
        descriptor = _open(folder / ACKNOWLEDGED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        _write(descriptor, f"{step}\n".encode())
        os.close(descriptor)


def live(
    folder: Path, before: Callable[[], None] | None = None, *, most_steps: int = NUM_STEPS
) -> int:
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
        train(folder, most_steps)
        code = 0
    except gl.errors.StorageError as error:
        # Killed after the run was closed: there is nothing left to do.
        code = {"S102": 0, "S112": DISK_REFUSES}.get(error.code, 1)
        if code:
            _complain()
    except BaseException:  # noqa: BLE001 - a forked child must never return to its caller
        _complain()
    finally:
        os._exit(code)


def _complain() -> None:
    traceback.print_exc()


def undisturbed(folder: Path, most_steps: int = NUM_STEPS) -> float:
    """Train without a kill; return the wall seconds of a life.

    A first run in this process imports what training loads when it is needed, so that no life of
    the script, each a fork of this process, pays for it.
    """
    with tempfile.TemporaryDirectory() as warm:
        train(Path(warm), 4)
    started = time.perf_counter()
    status = os.waitpid(live(folder, most_steps=most_steps), 0)[1]
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
            outcome.killed(folder / "run")
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
            outcome.killed(folder / "run")
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


def kill_and_compare(
    folder: Path, seed: int, num_kills: int, most_per_run: int, *, signed: bool = False
) -> list[Outcome]:
    """Kill and resume runs, by turns at random times and at random calls, until enough were killed.

    Args:
        folder: Takes the runs.
        seed: Decides every kill.
        num_kills: Kills over all runs, at least.
        most_per_run: Kills of one run, at most.
        signed: Sign the logs, with a key file that remembers what it signed.
    """
    trusted = []
    if signed:
        key = SigningKey.generate("benchmarks.test/killed")
        save_key(key, folder / KEY)
        trusted.append(key.verifier)
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
        outcomes.append(compare(run, folder / "undisturbed", NUM_STEPS, outcome, trusted))
    return outcomes


def main() -> None:
    """Print what came of it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--most-per-run", type=int, default=12)
    parser.add_argument("--signed", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = kill_and_compare(
            Path(folder), options.seed, options.kills, options.most_per_run, signed=options.signed
        )
    json.dump([outcome.to_dict() for outcome in outcomes], sys.stdout)


if __name__ == "__main__":
    main()
