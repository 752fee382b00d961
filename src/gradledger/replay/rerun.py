"""Run a recorded training again: state restored, order fed, every fingerprint compared."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from torch import nn, optim

from gradledger.errors import ReplayError
from gradledger.recorder.attach import observe
from gradledger.recorder.order import RecordEnd
from gradledger.recorder.recorder import Recorder
from gradledger.replay.journal import Observer, RerunJournal
from gradledger.replay.keep import Keeper
from gradledger.replay.recorded import RecordedRun

__all__ = ["Build", "Observer", "RerunJournal", "Train", "execute", "rerun"]

#: Builds model and optimizer as the recorded run did.
Build = Callable[[], tuple[nn.Module, optim.Optimizer]]
#: The user's training loop: admits, iterates, steps; does not close.
Train = Callable[[Recorder], None]


def rerun(
    run: RecordedRun, build: Build, train: Train, observer: Observer, *, start: int = 0
) -> None:
    """Execute a recorded run again, bit for bit.

    Args:
        run: The recorded run.
        build: Builds model and optimizer as they were built.
        train: The training loop that was recorded.
        observer: Sees every update.
        start: Step of the stored state to begin with; 0 for the opening state.

    Raises:
        ReplayError: As ``execute`` raises.
    """
    execute(run, build, train, RerunJournal(run, observer), start=start)


def execute(
    run: RecordedRun,
    build: Build,
    train: Train,
    journal: RerunJournal,
    *,
    start: int = 0,
    stop: int | None = None,
    measure_visits: bool = True,
    keep: Path | None = None,
) -> nn.Module:
    """Execute the training loop with a journal that reads the record.

    With ``start``, everything is brought to a stored state: model, optimizer, what ``run.track``
    was given, all random numbers and the place in the data. The loop is started from its top, and
    ``run.batches`` gives the remaining batches alone: passes that were over give nothing. A loop
    that counts for itself goes on from ``run.num_steps``; where it counts from 0 all the same, it
    is stopped after the last recorded step.

    Args:
        run: The recorded run.
        build: Builds model and optimizer as they were built.
        train: The training loop that was recorded.
        journal: Feeds order and decisions.
        start: Step of the stored state to begin with; 0 for the opening state.
        stop: Last step to execute; by default the last of the run.
        measure_visits: Whether gradients of all visits are kept for measuring.
        keep: Folder for states of this replay itself, so that it goes on where it was killed; they
            are removed at its end. Only for journals that name in ``NOTED`` what they found.

    Returns:
        The model in its final state.

    Raises:
        ReplayError: No state is stored at ``start`` (R102), content or order differ (R104, R141,
            R142), the loop ended early (R105), or as the journal raises.
    """
    with Keeper(keep) if keep is not None else nullcontext() as keeper:
        journal.begin_at(start)
        journal.stop, journal.keeper = run.num_steps if stop is None else stop, keeper
        kept = keeper.find() if keeper is not None else None
        if kept is not None and start < kept.step < journal.stop:
            journal.begin_at(kept.step, kept.folder)
            journal.take_notes(kept.notes)
        model = _train_again(run, build, train, journal, measure_visits=measure_visits)
        if keeper is not None:
            keeper.clear()
        return model


def _train_again(
    run: RecordedRun, build: Build, train: Train, journal: RerunJournal, *, measure_visits: bool
) -> nn.Module:
    model, optimizer = build()
    settings = run.begin["settings"]
    seen = observe(
        model,
        optimizer,
        groups=settings["groups"],
        unattributed=settings["unattributed"],
        later=settings.get("later", ()),
        accept_coupled=settings["accept_coupled"],
        attention=journal.attention(visits=measure_visits),
        substitute=settings.get("substitute", False),
    )
    recorder = seen.recorder(model, optimizer, journal)
    with recorder:
        try:
            train(recorder)
        except (RecordEnd, StopIteration):
            if recorder.num_steps != journal.stop:
                raise
        if recorder.num_steps != journal.stop:
            raise ReplayError(
                "R105",
                observed=f"{recorder.num_steps} steps",
                expected=f"{journal.stop}, as recorded",
                where=str(run.run_dir),
                hint="replay with the training loop that was recorded",
            )
    return model
