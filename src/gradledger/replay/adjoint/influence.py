"""Computing what ``influence`` ranks: derivatives of behaviours, and whether to believe them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from gradledger.canon import record_digest
from gradledger.query.records import Records
from gradledger.query.replays import identity, replays_folder
from gradledger.replay.adjoint.belief import Belief, examine_beliefs
from gradledger.replay.adjoint.derive import derive
from gradledger.replay.adjoint.following import Progress
from gradledger.replay.adjoint.store import store
from gradledger.replay.loop import Observable, TrainingLoop
from gradledger.replay.recorded import RecordedRun

#: Runs that the checks of a derivative execute besides trial removals.
_CHECKS = 2


def compute_influence(
    records: Records,
    loop: TrainingLoop,
    behaviours: Mapping[str, Observable],
    *,
    num_removals: int = 4,
    since: int = 0,
    memory_bytes: int = 1 << 30,
    progress: Progress | None = None,
) -> dict[str, Belief]:
    """Differentiate behaviours, execute a few runs nearby, and store both beside the run.

    Args:
        records: The closed run.
        loop: Builds and trains.
        behaviours: Name -> differentiable function of the model.
        num_removals: Trial removals that are executed.
        since: Take the state after this step as it was, and ask what came after it alone.
        memory_bytes: What states of the run may take.
        progress: Called after every step of the derivative and after every executed run, with the
            steps done and all of them.

    Returns:
        Behaviour -> what executed runs say of its derivative.

    Raises:
        ReplayError: R101 to R105, R131, R132, R171 to R178.
    """
    run, started = RecordedRun(records.path), time.perf_counter()
    each = run.num_steps - since
    further = (_CHECKS + num_removals) * each
    reached = (0, 0)

    def advance(done: int, total: int) -> None:
        nonlocal reached
        reached = done, total
        if progress is not None:
            progress(done, total + further)

    def executed() -> None:
        advance(reached[0] + each, reached[1])

    found = derive(
        run,
        loop.build,
        loop.train,
        behaviours,
        since=since,
        memory_bytes=memory_bytes,
        keep=_kept(records, tuple(behaviours), since),
        progress=advance,
    )
    beliefs = examine_beliefs(
        run,
        loop.build,
        loop.train,
        behaviours,
        found,
        num_removals=num_removals,
        executed=executed,
    )
    store(records, run, found, beliefs, time.perf_counter() - started)
    return beliefs


def _kept(records: Records, names: tuple[str, ...], since: int) -> Path:
    """Return where a sweep for these behaviours is kept while it goes on."""
    record = {**identity(records), "names": list(names), "since": since}
    name = f"sweep-{record_digest('sweep/1', record)[:32]}"
    return replays_folder(records.path) / name / "halfway.safetensors"
