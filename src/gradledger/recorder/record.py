"""``gl.record``: attach to a model and its optimizer, and begin a run."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from torch import nn, optim

from gradledger.errors import InputError, StorageError
from gradledger.policy import Policy, load_policy, resolve_profile
from gradledger.recorder.admit import Admitter
from gradledger.recorder.attach import Observation, observe
from gradledger.recorder.environment import read_environment
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.run_journal import RunJournal
from gradledger.recorder.sink import Sink
from gradledger.recorder.stand_in import call_of
from gradledger.recorder.weights import FULL
from gradledger.schema import FORMAT, RunBegin
from gradledger.segment import RunLock, write_bytes_atomic
from gradledger.state.torch_state import model_digest

LEVELS: Final = ("decisions", "shares")
ON_IMBALANCE: Final = ("flag", "strict")


def record(
    run_dir: str | Path,
    model: nn.Module,
    optimizer: optim.Optimizer,
    *,
    policy: Policy | str | Path | None = None,
    level: str = "shares",
    on_imbalance: str = "flag",
    groups: Mapping[str, str | Sequence[str]] | None = None,
    unattributed: Sequence[str] = (),
    accept_coupled: bool = False,
    verify_content: bool = True,
    update_norms: bool = False,
    state_every: int = 0,
    seal_rows: int = 131_072,
    now: datetime | None = None,
    opening: Mapping[str, Any] | None = None,
    seeds: Mapping[str, Any] | None = None,
    notes: str = "",
) -> Recorder:
    """Begin a run: book every change that the optimizer makes to the model.

    Nothing about training changes: while every depth profile in force is full, recorded and
    unrecorded training end in bit-identical weights.

    Args:
        run_dir: Where the run is written; must not exist or be empty.
        model: The model, on its device, before the first step.
        optimizer: Its optimizer.
        policy: Admission policy or its file; None admits everything and says so in the record.
        level: ``"shares"`` books every visit on every parameter group; ``"decisions"`` books who,
            when and the deltas.
        on_imbalance: ``"flag"`` marks a step whose books do not balance, ``"strict"`` stops.
        groups: Group name -> glob pattern(s) over tensor names; by default one per module.
        unattributed: Patterns of tensors that are left without per-example capture, by name.
        accept_coupled: Go on although rows influence each other; the record is marked.
        verify_content: Digest the items of a data set at admission and compare at every visit.
        update_norms: Book the norm of every accrual entry too (a third column per group).
        state_every: Store the model state every so many steps; 0 for first and last only.
        seal_rows: Visits per sealed segment.
        now: The moment that decisions are made at; recorded, never re-read.
        opening: What the model was before: ``source``, ``license``, ``digest``, ``seed``.
        seeds: Seeds that led here, by name.
        notes: Free text.

    Returns:
        The recorder, attached.

    Raises:
        StorageError: The directory exists (S101) or another writer holds it.
        InputError: A setting is not one of those allowed (I104).
        UpdateError: The optimizer cannot be booked.
        PolicyError: The policy cannot be read, or a profile names a block that the model lacks.
    """
    given = {k: v for k, v in locals().items() if k not in ("run_dir", "model", "optimizer")}
    examined: Recorder | None = call_of(run_dir, model, optimizer, given)
    if examined is not None:
        return examined
    _check_choice("level", level, LEVELS)
    _check_choice("on_imbalance", on_imbalance, ON_IMBALANCE)
    run_dir = Path(run_dir)
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise StorageError(
            "S101",
            observed=f"{run_dir} with content",
            expected="a directory that does not exist yet, or is empty",
            where="gl.record",
            hint="choose another directory; runs are never overwritten",
        )
    loaded = load_policy(policy) if isinstance(policy, str | Path) else policy
    seen = observe(
        model,
        optimizer,
        groups=groups,
        unattributed=unattributed,
        accept_coupled=accept_coupled,
        measure_visits=level == "shares",
    )
    blocks = seen.grouping.blocks
    profiles = {FULL: [1.0] * len(blocks)}
    for name, profile in loaded.profiles.items() if loaded is not None else ():
        profiles[name] = resolve_profile(profile, blocks)
    moment = now or datetime.now(UTC)
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = RunLock(run_dir)
    if loaded is not None:
        write_bytes_atomic(run_dir / "policies" / f"{loaded.digest}.yaml", loaded.text.encode())
    settings = {
        "unattributed": list(unattributed),
        "accept_coupled": accept_coupled,
        "verify_content": verify_content,
        "update_norms": update_norms,
        "state_every": state_every,
        "seal_rows": seal_rows,
        "profiles": profiles,
        "groups": None if groups is None else dict(groups),
    }
    begin = RunBegin(
        format=FORMAT,
        run_id=secrets.token_hex(16),
        created_at=moment.isoformat(),
        level=level,
        on_imbalance=on_imbalance,
        groups=(*(group.record for group in seen.grouping.groups), *seen.buffers.records),
        blocks=seen.grouping.blocks,
        coverage=seen.grouping.coverage,
        optimizer=_describe_optimizer(optimizer, seen),
        policy={}
        if loaded is None
        else {"id": loaded.id, "version": loaded.version, "digest": loaded.digest},
        opening_balance={
            "state": "states/step=0",
            "digest": model_digest(model),
            **dict(opening or {"source": "not stated"}),
        },
        seeds=dict(seeds or {}),
        environment=read_environment(model),
        settings=settings,
        notes=notes,
    )
    prefixes = ("align", "gnorm", "unorm") if update_norms else ("align", "gnorm")
    numbers = [group.record.group for group in seen.grouping.groups]
    journal = RunJournal(
        run_dir,
        begin,
        Admitter(run_dir, loaded, moment, profiles, verify_content=verify_content),
        Sink(run_dir, numbers, prefixes if level == "shares" else (), seal_rows),
        state_every,
        lock,
    )
    return seen.recorder(model, optimizer, journal)


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InputError(
            "I104",
            observed=f"{name}={value!r}",
            expected="one of " + ", ".join(repr(choice) for choice in allowed),
            where="gl.record",
        )


def _describe_optimizer(optimizer: optim.Optimizer, seen: Observation) -> dict[str, Any]:
    plain = (bool, int, float, str, type(None))
    return {
        "family": seen.family,
        "class": f"{type(optimizer).__module__}.{type(optimizer).__qualname__}",
        "param_groups": [
            {
                name: float(value) if hasattr(value, "item") else value
                for name, value in group.items()
                if isinstance(value, plain) or name in ("betas", "lr")
            }
            for group in optimizer.param_groups
        ],
    }
