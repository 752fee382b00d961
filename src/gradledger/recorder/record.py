"""``gl.record``: attach to a model and its optimizer, and begin a run."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from torch import nn, optim

from gradledger.log import Cosigner, SigningKey, describe_log, signing_key, write_fork
from gradledger.policy import Policy, load_policy
from gradledger.probe import Probe, check_probes
from gradledger.recorder.admit import Admitter
from gradledger.recorder.attach import Observation, observe
from gradledger.recorder.attention import Attention
from gradledger.recorder.behaviours import Behaviours
from gradledger.recorder.checks import check_choice
from gradledger.recorder.describe import (
    describe_opening,
    describe_optimizer,
    describe_policy,
    describe_profiles,
    may_limit,
)
from gradledger.recorder.environment import read_environment
from gradledger.recorder.fork import Parent
from gradledger.recorder.log_keeper import LogKeeper, named_witnesses
from gradledger.recorder.named_replay import named_replay
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.refusals import refuse_content
from gradledger.recorder.resume import (
    Resumption,
    is_begun,
    match_begin,
    read_recorded,
)
from gradledger.recorder.run_journal import RunJournal
from gradledger.recorder.schedule import StateSchedule
from gradledger.recorder.sink import Sealing, Sink
from gradledger.recorder.sketching import Sketcher, Sketching
from gradledger.recorder.stand_in import call_of
from gradledger.recorder.visit_rows import FULL_BITS, VISIT_BITS
from gradledger.schema import FORMAT, RunBegin
from gradledger.segment import RunLock, ensure_folder, write_bytes_atomic

LEVELS: Final = ("decisions", "shares", "sketch")
ON_IMBALANCE: Final = ("flag", "strict")

#: Settings that are recorded as they are given.
_RECORDED: Final = (
    *("accept_coupled", "verify_content", "update_norms", "substitute"),
    *("probe_weights_every", "seal_rows", "seal_steps", "seal_seconds"),
)


def record(
    run_dir: str | Path,
    model: nn.Module,
    optimizer: optim.Optimizer,
    *,
    policy: Policy | str | Path | None = None,
    level: str = "shares",
    sketching: Mapping[str, Any] | None = None,
    on_imbalance: str = "flag",
    groups: Mapping[str, str | Sequence[str]] | None = None,
    unattributed: Sequence[str] = (),
    later: Sequence[str] = (),
    accept_coupled: bool = False,
    verify_content: bool = True,
    update_norms: bool = False,
    substitute: bool = False,
    visit_bits: int = FULL_BITS,
    state_every: int | None = None,
    state_keep: int | None = None,
    probes: Sequence[Probe] = (),
    probe_weights_every: int = 1,
    seal_rows: int = 131_072,
    seal_steps: int = 0,
    seal_seconds: float = 60.0,
    resume: bool = False,
    now: datetime | None = None,
    opening: Mapping[str, Any] | None = None,
    seeds: Mapping[str, Any] | None = None,
    notes: str = "",
    replay: str | None = None,
    replay_arguments: Mapping[str, Any] | None = None,
    key: SigningKey | str | Path | None = None,
    witnesses: Sequence[Cosigner] | str | Path = (),
    fork: str | None = None,
    erased: Sequence[str | Path] = (),
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
            when and the deltas; ``"sketch"`` keeps entry sketches too.
        sketching: Names and values of ``Sketching``, at level ``"sketch"``.
        on_imbalance: ``"flag"`` marks a step whose books do not balance, ``"strict"`` stops.
        groups: Group name -> glob pattern(s) over tensor names; by default one per module.
        unattributed: Patterns of tensors that are left without per-example capture, by name.
        later: Patterns of tensors that may be unfrozen or added after the start.
        accept_coupled: Go on although rows influence each other; the record is marked.
        verify_content: Digest the items of a data set at admission and compare at every visit.
        update_norms: Book the norm of every accrual entry too (a third column per group).
        substitute: Let the sum of the per-example gradients stand in for autograd's own weight
            gradient of linear and convolution layers: cheaper, and equal to rounding only.
        visit_bits: Bits of the fraction kept of booked figures of visits; 23 keeps float32 whole.
        state_every: Store the model state every so many steps; 0 for first and last only. None:
            every 50, thinned to ``state_keep``.
        state_keep: States that stay between the first and the last at most: as the run gets
            longer every second one is removed; 0 for all. None: 3, and 0 where ``state_every`` is
            given.
        probes: Behaviours to follow; each is measured before the first step, at its own steps and
            at the end.
        probe_weights_every: Keep the weights of every so many probed steps, as ends of the
            intervals over which a settling pass books probes; 0 for none but stored states.
        seal_rows: Visits after which rows are sealed into segments.
        seal_steps: Steps after which they are sealed; 0 for no such limit.
        seal_seconds: Wall seconds after which they are sealed; 0 for no such limit.
        resume: Go on with the run in this directory from its last stored state, where there is
            one; the same script is started again with the same settings.
        now: The moment that decisions are made at; recorded, never re-read.
        opening: What the model was before: ``source``, ``license``, ``digest``, ``seed``.
        seeds: Seeds that led here, by name.
        notes: Free text.
        replay: ``"package.module:function"``, which returns what builds and trains this run again:
            ``(build, train)`` or ``(build, train, observe)``. Noted, not called.
        replay_arguments: Keyword arguments of that function; values that JSON knows.
        key: Key file that signs the log, made by ``gradledger key generate``; None takes the file
            that ``GRADLEDGER_KEY`` names in the environment, and signs nothing where it is unset.
        witnesses: Who cosigns the log when it is opened and closed: a quorum policy with URLs.
        fork: ``"RUN@STEP"``: begin with the model, optimizer and random numbers that another run
            stored after a step; the log names it and proves that it had logged them.
        erased: Files of lists of what was erased, beside the one next to the run and those that
            ``GRADLEDGER_ERASED`` names: what is on them is denied.

    Returns:
        The recorder, attached.

    Raises:
        StorageError: The directory exists (S101) or another writer holds it (S111); a run cannot
            go on because it is closed (S102), was recorded otherwise (S103, S122), or has no
            state that can be used (S104).
        InputError: A setting is not allowed (I104), or a probe cannot be followed (I131 to I133).
        UpdateError: The optimizer cannot be booked.
        LogError: The key cannot be read (L101, L102) or is not the log's (L136); a witness refuses
            (L141) or cannot be asked (L190); there is no such state to fork from (L192).
        PolicyError: The policy cannot be read, or a profile names a block that the model lacks.
    """
    given = {k: v for k, v in locals().items() if k not in ("run_dir", "model", "optimizer")}
    if (examined := call_of(run_dir, model, optimizer, given)) is not None:
        return cast("Recorder", examined)
    check_choice("level", level, LEVELS[1:] if substitute else LEVELS)
    check_choice("on_imbalance", on_imbalance, ON_IMBALANCE)
    check_choice("visit_bits", str(visit_bits), VISIT_BITS)
    behaviours = Behaviours(Path(run_dir), check_probes(probes), probe_weights_every)
    schedule = StateSchedule.of(state_every, state_keep)
    signer, asked = signing_key(key), named_witnesses(witnesses)
    moment = now or datetime.now(UTC)
    parent = Parent(fork, moment.isoformat()) if fork is not None else None
    run_dir, run_id = Path(run_dir), secrets.token_hex(16)
    going_on = resume and is_begun(run_dir)
    if not going_on:
        refuse_content(run_dir, resume=resume)
    loaded = load_policy(policy) if isinstance(policy, str | Path) else policy
    seen = observe(
        model,
        optimizer,
        groups=groups,
        unattributed=unattributed,
        later=later,
        accept_coupled=accept_coupled,
        attention=Attention(visits=level != "decisions", profiles=may_limit(loaded)),
        update_norms=update_norms,
        substitute=substitute,
    )
    behaviours.check(model, [name for group in seen.grouping.groups for name in group.parameters])
    settings = {
        **{name: given[name] for name in _RECORDED},
        "unattributed": list(unattributed),
        **({"later": list(later)} if later else {}),
        **({"visit_bits": visit_bits} if visit_bits != FULL_BITS else {}),
        **({"sketching": Sketching.read(sketching).record()} if level == "sketch" else {}),
        "state_every": schedule.every,
        "state_keep": schedule.keep,
        "probes": behaviours.records(),
        "profiles": describe_profiles(loaded, seen.grouping.blocks),
        "groups": None if groups is None else dict(groups),
        "replay": named_replay(replay, replay_arguments),
        "fork": parent and parent.to_dict(),
    }
    if parent is not None and not going_on:
        parent.load(model, optimizer, seen.booker)
        opening = opening or parent.opening()
    begin = RunBegin(
        format=FORMAT,
        run_id=run_id,
        created_at=moment.isoformat(),
        level=level,
        on_imbalance=on_imbalance,
        groups=(*(group.record for group in seen.grouping.groups), *seen.buffers.records),
        blocks=seen.grouping.blocks,
        coverage=seen.grouping.coverage,
        optimizer=describe_optimizer(optimizer, seen),
        policy=describe_policy(loaded),
        opening_balance=describe_opening(opening, model),
        seeds=dict(seeds or {}),
        environment=read_environment(model),
        settings=settings,
        notes=notes,
        log=describe_log(run_id, signer),
    )
    prefixes = ("align", "gnorm", *(("unorm",) if update_norms else ()))
    numbers = [group.record.group for group in seen.grouping.groups]
    sealing = Sealing(seal_rows, seal_steps, seal_seconds)
    return _start(
        begin,
        Sink(run_dir, numbers, prefixes if level != "decisions" else (), sealing),
        seen,
        (model, optimizer),
        run_dir=run_dir,
        going_on=going_on,
        policy=loaded,
        moment=moment,
        behaviours=behaviours,
        log=LogKeeper(run_dir, signer, asked),
        parent=parent,
        erased=erased,
    )


def _start(
    begin: RunBegin,
    sink: Sink,
    seen: Observation,
    watched: tuple[nn.Module, optim.Optimizer],
    *,
    run_dir: Path,
    going_on: bool,
    policy: Policy | None,
    moment: datetime,
    behaviours: Behaviours,
    log: LogKeeper,
    parent: Parent | None,
    erased: Sequence[str | Path],
) -> Recorder:
    """Take the run's lock and begin it, or go on with it; whatever fails lets go of the lock."""
    settings = begin.settings
    ensure_folder(run_dir)
    lock = RunLock(run_dir)
    try:
        resumption = None
        if going_on:
            begin = match_begin(read_recorded(run_dir, log.signer), begin, run_dir)
            moment = datetime.fromisoformat(begin.created_at)
            resumption = Resumption(run_dir, settings)
        elif policy is not None:
            path = run_dir / "policies" / f"{policy.digest}.yaml"
            write_bytes_atomic(path, policy.text.encode())
        if parent is not None and not going_on:
            write_fork(run_dir, parent.fork)
        if "sketching" in settings:
            wanted = Sketching.of(settings["sketching"], begin.run_id)
            sink.sketcher = seen.booker.sketcher = Sketcher.of(wanted, seen.grouping.groups)
        admitter = Admitter(
            run_dir,
            policy,
            moment,
            settings["profiles"],
            verify_content=settings["verify_content"],
            recorded=resumption.admissions if resumption is not None else (),
            erased=erased,
        )
        journal = RunJournal(
            run_dir,
            begin,
            admitter,
            sink,
            StateSchedule(settings["state_every"], settings["state_keep"]),
            lock,
            behaviours=behaviours,
            log=log,
            resumption=resumption,
        )
        return seen.recorder(*watched, journal)
    except BaseException:
        lock.release()
        raise
