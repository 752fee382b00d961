"""The pass of the frozen-curvature adjoint: stretch by stretch, the last first, then the tables.

Every stretch between two stored states is executed twice, each time bit for bit the recorded run:
once to note what its optimizer did, once to book its visits. What is done lies beside the run, so
that a pass that was killed goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from gradledger.canon import record_digest
from gradledger.errors import ReplayError
from gradledger.log import RunLog, SigningKey, has_log, signing_key, write_manifest
from gradledger.query.replays import replays_folder
from gradledger.replay.compare import Progress
from gradledger.replay.displacement import Displacement
from gradledger.replay.frozen.booking import Booking
from gradledger.replay.frozen.laws import Noting, read_laws
from gradledger.replay.frozen.layout import Flat
from gradledger.replay.frozen.sweep import Adjoint, displacement, opening_lines, sweep_back
from gradledger.replay.loop import TrainingLoop
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import execute
from gradledger.schema import FROZEN_LINES
from gradledger.segment import make_folder, segment_files

#: Folder of the tables within a run.
TABLE: Final = "frozen"
_FORMAT: Final = "frozen/1"

Interval = tuple[int, int]


@dataclass(frozen=True)
class Stretch:
    """Steps between two stored states.

    Attributes:
        start: Stored step before its first.
        stop: Its last step, after which a state is stored.
        is_noted: Whether its laws and adjoints are known.
        is_booked: Whether everything of it is.
    """

    start: int
    stop: int
    is_noted: bool
    is_booked: bool


def frozen_stretches(
    run_dir: Path, intervals: Sequence[Interval] | None, key: SigningKey | str | Path | None = None
) -> tuple[list[Interval], list[Stretch]]:
    """Return the intervals and the stretches that they need, the last first.

    Args:
        run_dir: A closed run.
        intervals: Pairs of stored steps; None for the whole run.
        key: As in ``settle``; a key that does not fit is refused before the pass.

    Raises:
        LogError: The run's log is signed, and the key is not the one that signs it. Code L136.
        ReplayError: The run is not closed (R101), an end is not stored (R102), or the measure is
            booked already (R106).
    """
    run = RecordedRun(run_dir)
    wanted = [(0, run.num_steps)] if intervals is None else [(int(a), int(b)) for a, b in intervals]
    if segment_files(run_dir, f"{TABLE}/lines"):
        raise ReplayError(
            "R106",
            observed="shares by the frozen-curvature adjoint in the run",
            expected="a run without them",
            where=str(run_dir),
            hint=f"name all intervals in one pass, or remove first: {TABLE}/visits, {TABLE}/lines",
        )
    for step in {step for interval in wanted for step in interval}:
        run.state_dir(step)
    if has_log(run_dir):
        with RunLog(run_dir, signing_key(key)):
            pass
    folder = _folder(run, wanted)
    found = []
    for start, stop in reversed(list(pairwise(run.stored_states()))):
        if _active(wanted, (start, stop)):
            noted = (folder / f"adjoint-{start}.npz").is_file()
            booked = (folder / f"booked-{start}-{stop}.npz").is_file()
            found.append(Stretch(start, stop, noted or booked, noted and booked))
    return wanted, found


def note_task(
    run: RecordedRun, task: Mapping[str, Any], loop: TrainingLoop, progress: Progress
) -> dict[str, Any]:
    """Execute a stretch, note its laws, and take the adjoints back through it.

    Task arguments: ``intervals``; ``start`` and ``stop`` of the stretch.
    """
    intervals, span = _task(task)
    folder = _folder(run, intervals)
    part = folder / f"stretch-{span[0]}-{span[1]}"
    shutil.rmtree(part, ignore_errors=True)
    journal = Noting(run, part, progress)
    execute(run, loop.build, loop.train, journal, start=span[0], stop=span[1], measure_visits=False)
    journal.finish()
    flat = journal.flat
    active = _active(intervals, span)
    adjoints = [
        _adjoint_after(run, folder, flat, place, intervals[place], span) for place in active
    ]
    sweep_back(part, flat, read_laws(part), span, adjoints)
    arrays: dict[str, Any] = {}
    for place, adjoint in zip(active, adjoints, strict=True):
        arrays[f"{place}/theta"] = adjoint.theta.numpy()
        arrays[f"{place}/momentum"] = adjoint.momentum.numpy()
        if intervals[place][0] == span[0]:
            lines = opening_lines(run, part, flat, intervals[place], adjoint)
            arrays |= {f"{place}/{line}": values for line, values in lines.items()}
    _write(folder / f"adjoint-{span[0]}.npz", arrays)
    return {}


def book_task(
    run: RecordedRun, task: Mapping[str, Any], loop: TrainingLoop, progress: Progress
) -> dict[str, Any]:
    """Execute a stretch whose adjoints are known, and book its visits.

    Task arguments: as for ``note_task``.
    """
    intervals, span = _task(task)
    folder = _folder(run, intervals)
    part = folder / f"stretch-{span[0]}-{span[1]}"
    active = _active(intervals, span)
    with np.load(folder / f"adjoint-{span[0]}.npz", allow_pickle=False) as arrays:
        opening = [torch.from_numpy(arrays[f"{place}/theta"]) for place in active]
    journal = Booking(run, part, opening, progress)
    execute(run, loop.build, loop.train, journal, start=span[0], stop=span[1])
    found = {f"dots/{step}": dots for step, dots in journal.dots.items()}
    found |= {f"lines/{step}": lines for step, lines in journal.lines.items()}
    _write(folder / f"booked-{span[0]}-{span[1]}.npz", found)
    shutil.rmtree(part, ignore_errors=True)
    return {}


def finish_frozen(
    run_dir: Path, intervals: Sequence[Interval], key: SigningKey | str | Path | None = None
) -> dict[str, Any]:
    """Write the tables ``frozen/visits`` and ``frozen/lines``, log them, and clear up.

    Args:
        run_dir: The run, of which every stretch is booked.
        intervals: As ``frozen_stretches`` returned them.
        key: Key that signs the log.

    Raises:
        LogError: As ``frozen_stretches`` raises.
    """
    run = RecordedRun(run_dir)
    folder, target = _folder(run, intervals), Displacement(run, intervals, TABLE, FROZEN_LINES)
    with RunLog(run_dir, signing_key(key)) if has_log(run_dir) else nullcontext() as log:
        for start, stop in pairwise(run.stored_states()):
            active = _active(intervals, (start, stop))
            if active:
                _deliver(run, folder, target, (start, stop), active, intervals)
        sealed = target.finish()
        if log is not None:
            log.add_derived("settling", sealed)
            log.publish()
        write_manifest(run_dir)
    shutil.rmtree(folder, ignore_errors=True)
    return {"num_steps": run.num_steps, "intervals": [list(pair) for pair in intervals]}


def _deliver(
    run: RecordedRun,
    folder: Path,
    target: Displacement,
    span: Interval,
    active: Sequence[int],
    intervals: Sequence[Interval],
) -> None:
    """Hand what was booked of a stretch to the tables."""
    start, stop = span
    with np.load(folder / f"booked-{start}-{stop}.npz", allow_pickle=False) as arrays:
        for step in range(start + 1, stop + 1):
            target.enter(step)
            if f"dots/{step}" not in arrays.files:
                continue  # No update happened.
            for place, column, line, value in arrays[f"lines/{step}"].tolist():
                target.add_line(int(place), int(column), FROZEN_LINES[int(line)], value)
            for place, dots in enumerate(arrays[f"dots/{step}"]):
                target.add_visits(place, run.visits_of(step), dots)
    opened = [(k, number) for k, number in enumerate(active) if intervals[number][0] == start]
    target.enter(start + 1)
    with np.load(folder / f"adjoint-{start}.npz", allow_pickle=False) as arrays:
        for place, number in opened:
            for line in ("frozen_decay", "frozen_opening"):
                for column, value in enumerate(arrays[f"{number}/{line}"].tolist()):
                    target.add_line(place, column, line, value)


def _adjoint_after(
    run: RecordedRun, folder: Path, flat: Flat, place: int, interval: Interval, span: Interval
) -> Adjoint:
    """Return the adjoint of an interval at the end of a stretch."""
    if span[1] == interval[1]:
        moved = displacement(run, interval, flat)
        return Adjoint(moved, torch.zeros_like(moved))
    with np.load(folder / f"adjoint-{span[1]}.npz", allow_pickle=False) as arrays:
        return Adjoint(
            torch.from_numpy(arrays[f"{place}/theta"]),
            torch.from_numpy(arrays[f"{place}/momentum"]),
        )


def _active(intervals: Sequence[Interval], span: Interval) -> list[int]:
    """Return the intervals that a stretch lies in."""
    return [place for place, (a, b) in enumerate(intervals) if a <= span[0] and span[1] <= b]


def _task(task: Mapping[str, Any]) -> tuple[list[Interval], Interval]:
    intervals = [(int(a), int(b)) for a, b in task["intervals"]]
    return intervals, (int(task["start"]), int(task["stop"]))


def _folder(run: RecordedRun, intervals: Sequence[Interval]) -> Path:
    record = {"run_id": run.begin["run_id"], "intervals": [list(pair) for pair in intervals]}
    return replays_folder(run.run_dir) / f"frozen-{record_digest(_FORMAT, record)[:16]}"


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays, whole or not at all."""
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.part.npz")
    np.savez(part, **arrays)
    part.replace(path)
