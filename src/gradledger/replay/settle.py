"""The settling pass: whose gradients make up what an interval of training did.

Shares of displacement need the end vector, and effects on a behaviour its gradient at both ends,
which are known only when training is over. A settling pass executes the run once more, checks at
every step that it is the same run bit for bit, and takes the inner product of every accrual entry
and line with the vectors of all targets.

Shape legend: V visits of a step, G parameter groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradledger.canon import record_digest
from gradledger.errors import ReplayError
from gradledger.log import RunLog, SigningKey, has_log, signing_key, write_manifest
from gradledger.probe import Probe
from gradledger.query.replays import replays_folder
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import Step
from gradledger.replay.behaviours import Behaviours
from gradledger.replay.compare import Progress
from gradledger.replay.displacement import Displacement
from gradledger.replay.journal import RerunJournal
from gradledger.replay.probed import SettledProbe
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import Build, Train, execute
from gradledger.replay.settled_part import SettledParts
from gradledger.replay.settling import SettlingObserver
from gradledger.replay.target import Target
from gradledger.segment import segment_files


@dataclass(frozen=True)
class Settled:
    """What a settling pass found for the whole of its intervals.

    Attributes:
        num_steps: Steps executed again, each bit-identical to the record.
        shares: Interval -> line -> share of displacement, one number per group; NaN where the
            group did not move. Over all lines the shares add up to 1.
        probes: Name -> change of the probe, as measured and as booked.
    """

    num_steps: int
    shares: list[dict[str, NDArray[np.float64]]]
    probes: dict[str, SettledProbe] = field(default_factory=dict)


def settle(
    run_dir: str | Path,
    build: Build,
    train: Train,
    intervals: Sequence[tuple[int, int]] | None = None,
    probes: Sequence[Probe] | Callable[[], Sequence[Probe]] = (),
    *,
    key: SigningKey | str | Path | None = None,
    progress: Progress | None = None,
) -> Settled:
    """Execute a run again and book displacement shares and effects on probes of every visit.

    Args:
        run_dir: A closed run.
        build: Builds model and optimizer as the run did.
        train: The training loop that was recorded; it does not close the recorder.
        intervals: Pairs (start, stop) of stored steps to book displacement for; by default the
            whole run, with ``()`` none.
        probes: The probes of the run, all of them, or a function that builds them; without them
            only displacement is booked.
        key: Key file that signs the run's log, where it is signed; None takes that of the
            environment variable ``GRADLEDGER_KEY``.
        progress: Called after every step with its number and that of the last one.

    Returns:
        Shares by interval, line and group, and the totals of every probe. The tables
        ``displacement/visits`` and ``displacement/lines`` are added to the run, with probes also
        ``probes/visits``, ``probes/lines`` and ``probes/intervals``; they are logged as derived,
        and the manifest is renewed.

    Raises:
        LogError: The run's log is signed, and the key is not the one that signs it. Code L136.
        ReplayError: The run cannot be executed again as it was (R101 to R105), is settled
            already (R106), or the probes are not those that were recorded (R121).

    Source:
        The accrual identity: entries + inventory + revaluation + decay + edits + rounding add up
        to the displacement over any interval.
    """
    run = RecordedRun(Path(run_dir))
    supplied = list(probes() if callable(probes) else probes)
    wanted = [(0, run.num_steps)] if intervals is None else list(intervals)
    if wanted:
        _refuse_settled(run, "displacement", ("visits", "lines"))
    if supplied:
        _refuse_settled(run, "probes", ("visits", "lines", "intervals"))
    displacement = Displacement(run, wanted)
    behaviours = Behaviours(run, supplied) if supplied else None
    targets: list[Target] = [displacement, *([behaviours] if behaviours else [])]
    parts = SettledParts(_parts_folder(run, wanted, supplied))
    # The log is held from here on: a key that does not fit is refused before the pass.
    with RunLog(run.run_dir, signing_key(key)) if has_log(run.run_dir) else nullcontext() as log:
        try:
            _pass(run, build, train, targets, parts, progress)
            sealed = [segment for target in targets for segment in target.finish()]
        except BaseException:
            for target in targets:
                target.discard()
            raise
        if log is not None:
            log.add_derived("settling", sealed)
            log.publish()
        write_manifest(run.run_dir)
        parts.clear()
    return Settled(run.num_steps, displacement.shares(), behaviours.settled() if behaviours else {})


class _Telling(RerunJournal):
    """The journal of a pass that tells how far it is."""

    def __init__(
        self, run: RecordedRun, observer: SettlingObserver, progress: Progress | None
    ) -> None:
        super().__init__(run, observer)
        self._progress = progress

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Compare, and tell."""
        super().end_step(recorder, step)
        if self._progress is not None:
            self._progress(step.number, self.stop)


def _pass(
    run: RecordedRun,
    build: Build,
    train: Train,
    targets: Sequence[Target],
    parts: SettledParts,
    progress: Progress | None,
) -> None:
    """Execute what an earlier pass that was killed has not settled yet."""
    stored = run.stored_states()
    reached = parts.last(stored)
    if reached >= run.num_steps:  # Killed behind its last step: that stretch is settled again.
        reached = stored[-2]
    observer = SettlingObserver(run, targets, parts, reached)
    execute(run, build, train, _Telling(run, observer, progress), start=reached)


def _parts_folder(
    run: RecordedRun, intervals: Sequence[tuple[int, int]], probes: Sequence[Probe]
) -> Path:
    """Return where this pass keeps what it found; another pass over the run has another folder."""
    record = {
        "run_id": run.begin["run_id"],
        "intervals": [list(interval) for interval in intervals],
        "probes": [probe.record() for probe in probes],
    }
    return replays_folder(run.run_dir) / f"settling-{record_digest('settling/1', record)[:16]}"


def _refuse_settled(run: RecordedRun, folder: str, tables: Sequence[str]) -> None:
    """Refuse to book the same visits twice."""
    if any(segment_files(run.run_dir, f"{folder}/{table}") for table in tables):
        booked = {"displacement": "displacement shares", "probes": "effects on probes"}[folder]
        raise ReplayError(
            "R106",
            observed=f"{booked} in the run",
            expected="a run that is not settled yet",
            where=str(run.run_dir),
            hint="name everything in one pass, or remove first: "
            + ", ".join(f"{folder}/{table}" for table in tables),
        )
