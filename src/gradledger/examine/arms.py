"""The arms of a trial: one plain step, one recorded step, one step under a limiting profile."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor, nn, optim

from gradledger.errors import GradledgerError
from gradledger.examine.body import MicroBody
from gradledger.examine.finding import STOPS, Finding
from gradledger.recorder import Recorder

_ODD: Final = (
    "leave the module that is named in the traceback without capture (unattributed=[...]), or "
    "train it in one number format; and report this"
)


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


class RecordingFailedError(Exception):
    """A step went well without a recorder and not with one."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.observed)


def build_arms(
    run: Recorder,
    plain: tuple[nn.Module, optim.Optimizer],
    bodies: Sequence[MicroBody],
    profile: Sequence[float] | None,
    trial: Trial,
) -> dict[str, Callable[[], None]]:
    """Return one step of each arm as a function.

    Args:
        run: Records the copy that it is attached to.
        plain: The other copy.
        bodies: The passes of a step.
        profile: Weights of a limiting profile; None for no such arm.
        trial: Takes what is seen on the way.
    """
    arms = {
        "plain": lambda: _plain_step(*plain, bodies, trial),
        "recorded": lambda: _guarded(run, bodies, trial),
    }
    if profile is not None:
        number = run.weights.add("trial", list(profile))

        def routed_step() -> None:
            run.examples.profile[:] = number
            held = dict(trial.held)
            try:
                _guarded(run, bodies, trial)
            finally:
                run.examples.profile[:] = 0
                trial.held = held

        arms["routed"] = routed_step
    return arms


def _plain_step(
    model: nn.Module, optimizer: optim.Optimizer, bodies: Sequence[MicroBody], trial: Trial
) -> None:
    for body in bodies:
        body.run(model)
    if not trial.seconds:
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        trial.unreached = [
            name
            for name, value in model.named_parameters()
            if value.requires_grad and value.grad is None and id(value) in held
        ]
    optimizer.step()
    optimizer.zero_grad()


def _guarded(run: Recorder, bodies: Sequence[MicroBody], trial: Trial) -> None:
    """Take a recorded step; turn what fails in it into a finding."""
    try:
        _recorded_step(run, bodies, trial)
    except GradledgerError as error:
        raise RecordingFailedError(Finding.of(error)) from error
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        observed = f"the same step succeeds without a recorder: {type(error).__name__}: {error}"
        raise RecordingFailedError(Finding(STOPS, "trial", observed, _ODD)) from error


def _recorded_step(run: Recorder, bodies: Sequence[MicroBody], trial: Trial) -> None:
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
