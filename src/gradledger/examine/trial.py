"""The trial: plain steps against recorded steps, in turn, on copies, in a temporary folder."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn, optim

from gradledger.errors import GradledgerError
from gradledger.examine.body import MicroBody
from gradledger.examine.finding import LIMITS, Finding
from gradledger.query import books, open_records
from gradledger.recorder import Recorder, record
from gradledger.recorder.stand_in import standing_in

_WARM_UP: Final = 2
#: The trial ends early when it has taken this long, but not before so many rounds.
_SECONDS: Final = 30.0
_LEAST: Final = 3


@dataclass
class Trial:
    """What was measured.

    Attributes:
        num_visits: Visits of one step.
        seconds: Arm (``plain``, ``recorded``, ``routed``) -> wall seconds of each of its steps.
        peaks: Arm -> largest device memory above what was held before the step, bytes; empty where
            the device does not tell.
        held: What is held -> bytes, at the moment of the update.
        state_bytes: One stored model state on disk.
        verdicts: Verdict of the books -> how often it was given.
        unreached: Tensors that got no gradient.
        findings: What recording refused, or what does not balance.
        why_not: Why nothing was measured; empty where it was.
    """

    num_visits: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    state_bytes: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    unreached: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    why_not: str = ""


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
            arms = _arms(run, plain, bodies, profile, trial)
            _measure(arms, rounds, trial, next(plain[0].parameters()).device)
    except GradledgerError as error:
        trial.findings.append(Finding.of(error))
        trial.why_not = "a recorded step was refused"
        return trial
    _read_back(folder / "trial", run.num_steps, trial)
    return trial


def _arms(
    run: Recorder,
    plain: tuple[nn.Module, optim.Optimizer],
    bodies: Sequence[MicroBody],
    profile: Sequence[float] | None,
    trial: Trial,
) -> dict[str, Callable[[], None]]:
    """Return one step of each arm as a function."""

    def plain_step() -> None:
        for body in bodies:
            body.run(plain[0])
        if not trial.seconds.get("plain"):
            names = [
                n for n, p in plain[0].named_parameters() if p.requires_grad and p.grad is None
            ]
            held = {id(p) for group in plain[1].param_groups for p in group["params"]}
            trial.unreached = [n for n in names if id(plain[0].get_parameter(n)) in held]
        plain[1].step()
        plain[1].zero_grad()

    def recorded_step() -> None:
        first = 0
        with run.step() as step:
            for body in bodies:
                numbers = range(first, first + body.num_visits)
                first += body.num_visits
                with step.micro_batch(body.batch, examples=numbers):
                    body.run(run.model)
            trial.held["captured activations and gradients"] = _captured_bytes(run)
            run.optimizer.step()
            run.optimizer.zero_grad()
            trial.held |= _kept_bytes(run)

    arms: dict[str, Callable[[], None]] = {"plain": plain_step, "recorded": recorded_step}
    if profile is not None:
        number = run.weights.add("trial", list(profile))

        def routed_step() -> None:
            run.examples.profile[:] = number
            held = dict(trial.held)
            try:
                recorded_step()
            finally:
                run.examples.profile[:] = 0
                trial.held = held

        arms["routed"] = routed_step
    return arms


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


def _kept_bytes(run: Recorder) -> dict[str, int]:
    """Return what the books keep from step to step."""
    entries = [entry for group in run.booker.tracked for entry in group]
    copies: dict[str, list[Tensor | None]] = {
        "copies of the parameters": [entry.theta_before for entry in entries],
        "copies of the accumulated gradients": [entry.raw for entry in entries],
        "copies of the momentum": [
            None if entry.before is None else entry.before.momentum for entry in entries
        ],
        "accounts": [t for entry in entries for t in entry.account.to_tensors().values()],
    }
    return {
        name: sum(value.nbytes for value in values if value is not None)
        for name, values in copies.items()
    }


def _captured_bytes(run: Recorder) -> int:
    """Return what capture holds at the moment of the update; shared memory counts once."""
    storages: dict[int, int] = {}
    for group in run.booker.tracked:
        for entry in group:
            for use in run.capture.uses(entry.parameter):
                for tensor in _tensors(use.form):
                    storage = tensor.untyped_storage()
                    storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    if dataclasses.is_dataclass(value):
        return _tensors([getattr(value, part.name) for part in dataclasses.fields(value)])
    return []


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
