"""The trial: plain steps against recorded steps, in turn, on copies, in a temporary folder."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn, optim

from gradledger.errors import GradledgerError
from gradledger.examine.arms import RecordingFailedError, Trial, build_arms
from gradledger.examine.body import MicroBody
from gradledger.examine.finding import LIMITS, Finding
from gradledger.query import books, open_records
from gradledger.recorder import record
from gradledger.recorder.stand_in import standing_in

_WARM_UP: Final = 2
#: The trial ends early when it has taken this long, but not before so many rounds.
_SECONDS: Final = 30.0
_LEAST: Final = 3


class _Rows:
    """Stands for the data set: the trial names its examples itself."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> int:
        return place


def run_trial(
    model: nn.Module,
    optimizer: optim.Optimizer,
    bodies: Sequence[MicroBody],
    *,
    folder: Path,
    rounds: int,
    settings: Mapping[str, Any],
    profile: Sequence[float] | None,
) -> Trial:
    """Measure on two copies; the originals are only read.

    Args:
        model: The model.
        optimizer: Its optimizer.
        bodies: The passes of one step.
        folder: Exists and is empty; whoever made it removes it.
        rounds: Steps of each arm.
        settings: For ``record``: level, groups, unattributed, accept_coupled, update_norms.
        profile: Weights of a limiting profile for a third arm; None for none.
    """
    trial = Trial(sum(body.num_visits for body in bodies))
    try:
        plain = copy.deepcopy((model, optimizer))
        recorded = copy.deepcopy((model, optimizer))
    except (RuntimeError, TypeError, AttributeError, copy.Error) as error:
        trial.why_not = f"the model cannot be copied ({type(error).__name__}: {error})"
        return trial
    for _, optim_copy in (plain, recorded):
        optim_copy.zero_grad()
    try:
        with standing_in(None):
            run = record(folder / "trial", *recorded, verify_content=False, **settings)
    except GradledgerError as error:
        trial.findings.append(Finding.of(error))
        trial.why_not = "recording was refused"
        return trial
    try:
        with run:
            run.admit(_Rows(trial.num_visits))
            arms = build_arms(run, plain, bodies, profile, trial)
            arms["plain"]()  # What fails without a recorder is the caller's to see.
            _measure(arms, rounds, trial, next(plain[0].parameters()).device)
    except RecordingFailedError as failed:
        trial.findings.append(failed.finding)
        trial.why_not = "a recorded step did not succeed"
        trial.seconds = {}
        return trial
    _read_back(folder / "trial", run.num_steps, trial)
    return trial


def _measure(
    arms: Mapping[str, Callable[[], None]], rounds: int, trial: Trial, device: torch.device
) -> None:
    """Run the arms in turn, each round in the opposite order of the one before."""
    for _ in range(_WARM_UP):
        for step in arms.values():
            step()
    started, names = time.perf_counter(), list(arms)
    for done in range(rounds):
        if done >= _LEAST and time.perf_counter() - started > _SECONDS:
            break
        for name in names:
            before = _reset_peak(device)
            begin = time.perf_counter()
            arms[name]()
            _wait(device)
            trial.seconds.setdefault(name, []).append(time.perf_counter() - begin)
            if before is not None:
                peak = torch.cuda.max_memory_allocated(device) - before
                trial.peaks[name] = max(trial.peaks.get(name, 0), peak)
        names.reverse()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    return int(torch.cuda.memory_allocated(device))


def _read_back(run_dir: Path, num_steps: int, trial: Trial) -> None:
    """Ask the recorded trial how its books stand, and how large a stored state is."""
    state = run_dir / "states" / f"step={num_steps}"
    trial.state_bytes = sum(path.stat().st_size for path in state.iterdir())
    records = open_records(run_dir)
    try:
        if records.begin.level == "shares":
            trial.verdicts = dict(books(records).facts["verdicts"])
    finally:
        records.close()
    bad = {name: trial.verdicts.get(name, 0) for name in ("unbalanced", "not finite")}
    if sum(bad.values()):
        said = ", ".join(f"{count} {name}" for name, count in bad.items() if count)
        trial.findings.append(
            Finding(
                LIMITS,
                "books of the trial",
                f"{said} of {sum(trial.verdicts.values())} books (step and group)",
                "look for parameters used outside their own module, and for changes to gradients "
                "or parameters between backward() and step()",
            )
        )


def middle(values: Sequence[float]) -> tuple[float, float, float]:
    """Return median, lower and upper quartile."""
    low, median, high = np.quantile(np.asarray(values), [0.25, 0.5, 0.75])
    return float(median), float(low), float(high)
