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
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradledger.errors import ReplayError
from gradledger.log import RunLog, SigningKey, has_log, signing_key, write_manifest
from gradledger.probe import Probe
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import Step
from gradledger.recorder.tracked import Tracked
from gradledger.replay.behaviours import Behaviours
from gradledger.replay.displacement import Displacement
from gradledger.replay.probed import SettledProbe
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import Build, Train, rerun
from gradledger.replay.target import Target
from gradledger.schema import ACCRUAL_LINES
from gradledger.segment import segment_files
from gradledger.update import line_tensors


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


class SettlingObserver:
    """Takes inner products of entries and lines with the vectors of all targets.

    Args:
        run: The recorded run.
        targets: What to take inner products with.
    """

    def __init__(self, run: RecordedRun, targets: Sequence[Target]) -> None:
        self._run, self._targets = run, list(targets)

    @torch.no_grad()
    def book(
        self,
        recorder: Recorder,
        step: Step,
        sizes: Sequence[int],
        routed: frozenset[int],  # noqa: ARG002 - part of Observer
    ) -> None:
        """Take inner products of this step's entries and lines with every active vector."""
        active = [
            (target, place)
            for target in self._targets
            for place in range(target.begin(recorder, step.number))
        ]
        dots = np.zeros((len(active), sum(sizes), len(recorder.booker.tracked)))
        for column, entries in enumerate(recorder.booker.tracked):
            for entry in entries:
                self._book_tensor(recorder, entry, sizes, active, dots[:, :, column], column)
        visits = self._run.visits_of(step.number)
        for row, (target, place) in enumerate(active):
            target.add_visits(place, visits, dots[row])
        for target in self._targets:
            target.end(step.number)

    def _book_tensor(
        self,
        recorder: Recorder,
        entry: Tracked,
        sizes: Sequence[int],
        active: list[tuple[Target, int]],
        dots: NDArray[np.float64],
        column: int,
    ) -> None:
        realised = recorder.booker.realise(entry)
        if realised is None:
            return
        device = entry.parameter.device
        ends = [target.vector(place, entry.name).to(device) for target, place in active]
        captured, kappa = None, 1.0
        if entry.captured and active:
            weights = [realised.entry_weights(end) for end in ends]
            visits = recorder.booker.measure(entry, sizes, realised, *weights)
            kappa = recorder.booker.clip_factor(entry)
            dots += kappa * visits.dots
            captured = visits.total
        lines = line_tensors(
            realised,
            entry.account,
            theta_before=entry.theta_before,
            theta_after=entry.parameter,
            g_raw=entry.raw,
            g_used=recorder.booker.gradient(entry),
            captured=captured,
        )
        entry.account.advance(realised, entry.theta_before)
        _add_lines(active, ends, lines, column)


def _add_lines(
    active: Sequence[tuple[Target, int]],
    ends: Sequence[Tensor],
    lines: dict[str, Tensor],
    column: int,
) -> None:
    """Add the inner product of every accrual line with every vector."""
    flat = [end.reshape(-1).double() for end in ends]
    for line in ACCRUAL_LINES:
        direction = lines[line].reshape(-1)
        if not direction.any():
            continue  # Half of the lines are exact zeros for most tensors.
        direction = direction.double()
        for (target, place), end in zip(active, flat, strict=True):
            target.add_line(place, column, line, float(torch.dot(end, direction)))


def settle(
    run_dir: str | Path,
    build: Build,
    train: Train,
    intervals: Sequence[tuple[int, int]] | None = None,
    probes: Sequence[Probe] | Callable[[], Sequence[Probe]] = (),
    *,
    key: SigningKey | str | Path | None = None,
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
    # The log is held from here on: a key that does not fit is refused before the pass.
    with RunLog(run.run_dir, signing_key(key)) if has_log(run.run_dir) else nullcontext() as log:
        try:
            rerun(run, build, train, SettlingObserver(run, targets))
            sealed = [segment for target in targets for segment in target.finish()]
        except BaseException:
            for target in targets:
                target.discard()
            raise
        if log is not None:
            log.add_derived("settling", sealed)
            log.publish()
        write_manifest(run.run_dir)
    return Settled(run.num_steps, displacement.shares(), behaviours.settled() if behaviours else {})


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
