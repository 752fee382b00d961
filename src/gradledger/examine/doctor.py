"""``gl.doctor``: what recording would see, refuse and cost, before the first step."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn, optim

from gradledger.errors import InputError
from gradledger.examine.arms import Trial
from gradledger.examine.body import Loss, MicroBody, body_of_loss
from gradledger.examine.budget import cost_table, disk_table, memory_table, room_on_disk
from gradledger.examine.finding import LIMITS, STOPS, Finding, findings_table
from gradledger.examine.look import Seen, coverage_tables, look, profiles_table
from gradledger.examine.plan import Plan
from gradledger.examine.trial import middle, run_trial
from gradledger.policy import Policy
from gradledger.query import Answer, Table
from gradledger.recorder.schedule import StateSchedule
from gradledger.state.torch_state import preserved_rng


def doctor(
    model: nn.Module,
    optimizer: optim.Optimizer,
    batch: Any = None,
    loss: Loss | None = None,
    policy: Policy | str | Path | None = None,
    *,
    steps: int | None = None,
    rounds: int = 8,
    level: str = "shares",
    groups: Mapping[str, str | Sequence[str]] | None = None,
    unattributed: Sequence[str] = (),
    accept_coupled: bool = False,
    update_norms: bool = False,
    substitute: bool = False,
    state_every: int | None = None,
    state_keep: int | None = None,
) -> Answer:
    """Examine a model and its optimizer before they are recorded.

    Model, optimizer, gradients and random number generators are left as they were, bit for bit:
    what is run, is run on copies, in a temporary folder.

    Args:
        model: The model, on its device.
        optimizer: Its optimizer.
        batch: A batch as the loader yields it; with ``loss``, a few steps are measured.
        loss: ``loss(model, batch)``: one value per visit in nats, or their mean.
        policy: Admission policy or its file: which of its depth profiles can be enforced.
        steps: Steps of the whole run, for its size on disk.
        rounds: Measured steps of each arm, at least 1.
        level: As for ``gl.record``, and so are the others.
        groups: Group name -> glob pattern(s) over tensor names.
        unattributed: Patterns of tensors that are left without per-example capture, by name.
        accept_coupled: Go on although rows influence each other.
        update_norms: Book the norm of every accrual entry too.
        substitute: Let summed per-example gradients stand in for autograd's own.
        state_every: Store the model state every so many steps; 0 for first and last only.
        state_keep: States that stay between the first and the last at most; 0 for all.

    Returns:
        An answer whose main table holds the findings, each with its next step.

    Raises:
        InputError: ``batch`` and ``loss`` do not come together, or a number is out of range (I104).
    """
    if (batch is None) != (loss is None):
        given, other = ("loss", "batch") if batch is None else ("batch", "loss")
        raise _refused(f"{given} without {other}", "both, or neither")
    for name, value in (("rounds", rounds), ("steps", steps)):
        if value is not None and value < 1:
            raise _refused(f"{name}={value}", f"{name} >= 1")
    plan = Plan(
        steps=steps,
        rounds=rounds,
        policy=policy,
        level=level,
        groups=groups,
        unattributed=unattributed,
        accept_coupled=accept_coupled,
        update_norms=update_norms,
        substitute=substitute,
        state_every=state_every,
        state_keep=state_keep,
    )
    bodies: list[MicroBody] = []
    early: list[Finding] = []
    if loss is not None:
        try:
            bodies = [body_of_loss(batch, loss)]
        except InputError as error:
            early.append(Finding.of(error, "batch"))
    title = f"Doctor: {type(model).__name__} with {type(optimizer).__name__}"
    return examine(model, optimizer, bodies, plan, title=title, early=early)


def examine(
    model: nn.Module,
    optimizer: optim.Optimizer,
    bodies: Sequence[MicroBody],
    plan: Plan,
    *,
    title: str,
    early: Sequence[Finding] = (),
    why_not: str = "no batch and loss were given",
    facts: Mapping[str, Any] | None = None,
) -> Answer:
    """Look, try, and answer.

    Args:
        model: The model; read only.
        optimizer: Its optimizer; read only.
        bodies: Passes of one step; none to look without a trial.
        plan: How the run is going to be recorded.
        title: Title of the answer.
        early: What was found before.
        why_not: Why there are no bodies, where there are none.
        facts: Single figures to show first.
    """
    seen = look(
        model,
        optimizer,
        policy=plan.policy,
        groups=plan.groups,
        unattributed=plan.unattributed,
        accept_coupled=plan.accept_coupled,
    )
    trial = Trial(why_not=why_not)
    if bodies and seen.grouping is not None and seen.family:
        trial = _try(model, optimizer, bodies, plan, seen)
    elif bodies:
        trial.why_not = "recording would be refused"
    # What the trial met for the second time is told once.
    known = {(finding.code, finding.observed) for finding in (*early, *seen.findings)}
    fresh = [f for f in trial.findings if not f.code or f.code not in {code for code, _ in known}]
    findings = [*early, *seen.findings, *fresh, *_unreached(trial)]
    tables: list[Table] = []
    if trial.seconds:
        tables += [cost_table(trial), memory_table(trial)]
    if seen.grouping is not None:
        table, whole = disk_table(
            seen.grouping,
            trial,
            level=plan.level,
            update_norms=plan.update_norms,
            schedule=StateSchedule.of(plan.state_every, plan.state_keep),
            steps=plan.steps,
        )
        tables += [*([table] if trial.num_visits else []), *profiles_table(seen)]
        tables += coverage_tables(seen.grouping)
        findings += room_on_disk(plan.run_dir, whole)
    return Answer(
        question="doctor",
        title=title,
        kind="accounting",
        facts=_facts(model, seen, trial, plan, findings) | dict(facts or {}),
        tables=(findings_table(findings), *tables),
        notes=tuple(_notes(seen, trial, bodies, plan)),
        findings=len(findings),
    )


def _try(
    model: nn.Module,
    optimizer: optim.Optimizer,
    bodies: Sequence[MicroBody],
    plan: Plan,
    seen: Seen,
) -> Trial:
    profile = min(seen.profiles.values(), key=sum, default=None)
    settings = {
        "level": plan.level,
        "groups": plan.groups,
        "unattributed": plan.unattributed,
        "accept_coupled": plan.accept_coupled,
        "update_norms": plan.update_norms,
        "substitute": plan.substitute,
    }
    with (
        preserved_rng(),
        _untouched(model),
        torch.enable_grad(),
        tempfile.TemporaryDirectory(prefix="gradledger-doctor-") as folder,
    ):
        return run_trial(
            model,
            optimizer,
            bodies,
            folder=Path(folder),
            rounds=plan.rounds,
            settings=settings,
            profile=profile,
        )


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Bring gradients and buffers back, in case a loss used this model and not the copy."""
    grads = [(p, p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    buffers = [(value, value.clone()) for value in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, grad, saved in grads:
                parameter.grad = grad
                if grad is not None and saved is not None:
                    grad.copy_(saved)
            for value, kept in buffers:
                value.copy_(kept)


def _unreached(trial: Trial) -> list[Finding]:
    if not trial.unreached:
        return []
    shown = ", ".join(trial.unreached[:4]) + (", ..." if len(trial.unreached) > 4 else "")  # noqa: PLR2004
    return [
        Finding(
            LIMITS,
            shown,
            f"no gradient reached {len(trial.unreached)} tensors that the optimizer holds",
            "freeze them with requires_grad_(False), or see whether the loss should use them",
        )
    ]


def _facts(
    model: nn.Module, seen: Seen, trial: Trial, plan: Plan, findings: Sequence[Finding]
) -> dict[str, Any]:
    stops = sum(finding.effect == STOPS for finding in findings)
    facts: dict[str, Any] = {
        "verdict": f"findings that stop recording: {stops}, that limit it: {len(findings) - stops}"
        if findings
        else "all fine",
        "optimizer": seen.family or "not supported",
    }
    if seen.grouping is not None:
        coverage = seen.grouping.coverage
        facts |= {
            "coverage": f"{coverage.percent:.4g} % of {coverage.num_updated:,} updated parameters",
            "parameter groups": len(seen.grouping.groups),
            "blocks": len(seen.grouping.blocks),
        }
    facts["device"] = str(next(model.parameters()).device)
    facts["coupled modules"] = list(seen.coupled)
    facts["recording level"] = plan.level
    if trial.seconds:
        ratios = [
            100.0 * (recorded / plain - 1.0)
            for plain, recorded in zip(
                trial.seconds["plain"], trial.seconds["recorded"], strict=False
            )
        ]
        median, low, high = middle(ratios)
        facts["visits per step"] = trial.num_visits
        facts["cost"] = f"{median:+.0f} % per step (quartiles {low:+.0f} to {high:+.0f} %)"
        facts["books of the trial"] = {k: v for k, v in trial.verdicts.items() if v}
    return facts


def _notes(seen: Seen, trial: Trial, bodies: Sequence[MicroBody], plan: Plan) -> list[str]:
    notes = list(seen.notes)
    if not trial.seconds:
        notes.append(f"cost and memory were not measured: {trial.why_not}")
        return notes
    notes.append(
        "cost: the added part is the median over rounds of recorded over plain; closing files and "
        "storing states come on top, once per so many steps"
    )
    if trial.num_visits == 1 or any(body.num_visits == 1 for body in bodies):
        notes.append("a batch of one visit: whether rows are kept apart could not be probed")
    if not trial.peaks:
        notes.append("memory: this device tells no peak; what is held is counted tensor by tensor")
    notes.append("disk: Parquet compresses; figures are an upper bound without file overhead")
    if plan.steps is None:
        notes.append("give the number of steps for the size of the whole run")
    return notes


def _refused(observed: str, expected: str) -> InputError:
    return InputError("I104", observed=observed, expected=expected, where="gl.doctor")
