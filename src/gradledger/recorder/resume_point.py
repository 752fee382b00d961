"""Where a run that was cut off can go on: the last stored state that its records agree with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gradledger.errors import StorageError
from gradledger.recorder.states import restore, state_name
from gradledger.schema import TABLES
from gradledger.segment import read_table, segment_files, step_range
from gradledger.state.torch_state import LoadedState, read_state

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder

#: Codes of a state that is damaged; one of another model is the caller's mistake.
_DAMAGED: Final = ("S113", "S123")


@dataclass(frozen=True)
class ResumePoint:
    """The state that a run goes on from.

    Attributes:
        step: Steps that stand.
        loaded: What was restored.
        passed_over: Later states that could not be used, and why.
    """

    step: int
    loaded: LoadedState
    passed_over: list[dict[str, Any]]


def stored_steps(run_dir: Path) -> list[int]:
    """Return the steps of complete model states, ascending."""
    names = (path.name.removeprefix("step=") for path in (run_dir / "states").glob("step=*"))
    return sorted(int(name) for name in names if name.isdecimal())


def find_resume_point(run_dir: Path, recorder: Recorder) -> ResumePoint:
    """Restore the last stored state that fits the records.

    Args:
        run_dir: The run; everything committed is sealed.
        recorder: Attached to a model and optimizer built as they were.

    Raises:
        StorageError: No state can be used (S104), or model and optimizer are not those of the run
            (S122).
    """
    records = _StepRecords(run_dir)
    passed_over: list[dict[str, Any]] = []
    for step in reversed(stored_steps(run_dir)):
        folder = run_dir / state_name(step)
        try:
            reason = records.odds(step, read_state(folder).position)
            if not reason:
                return ResumePoint(step, restore(folder, recorder), passed_over)
        except StorageError as error:
            if error.code not in _DAMAGED:
                raise
            reason = f"{error.code}: {error.observed}"
        passed_over.append({"state": state_name(step), "reason": reason})
    raise StorageError(
        "S104",
        observed="; ".join(f"{item['state']}: {item['reason']}" for item in passed_over)
        or "no model state",
        expected="one complete model state that the records agree with",
        where=str(run_dir),
        hint="restore the run from a copy, or begin a new one",
    )


def segments_after(run_dir: Path, step: int) -> list[str]:
    """Return the segments whose rows all come after a step, below the run."""
    found = []
    for table, columns in TABLES.items():
        name = next((name for name in ("step", "stop_step") if name in columns), None)
        for path in segment_files(run_dir, table) if name else []:
            found_range = step_range(path, str(name))
            if found_range is not None and found_range[0] > step:
                found.append(path.relative_to(run_dir).as_posix())
    return found


class _StepRecords:
    """What the sealed tables say of every step."""

    def __init__(self, run_dir: Path) -> None:
        steps = read_table(run_dir, "steps", ["step", "visits", "fingerprint_after"]).to_pydict()
        self._num_rows = Counter(steps["step"])
        self._visits: Mapping[int, int] = dict(zip(steps["step"], steps["visits"], strict=True))
        self._after = dict(zip(steps["step"], steps["fingerprint_after"], strict=True))
        self._found = Counter(read_table(run_dir, "visits", ["step"])["step"].to_pylist())
        self._ranges = [
            (path, step_range(path))
            for table in ("visits", "books", "steps")
            for path in segment_files(run_dir, table)
        ]

    def odds(self, step: int, position: Mapping[str, Any]) -> str:
        """Say why the records do not agree with a state after ``step``; empty where they do."""
        if "passes" not in position:
            return "no position in the data"
        for number in range(1, step + 1):
            if self._num_rows[number] != 1:
                return f"step {number} has {self._num_rows[number]} records"
            if self._found[number] != self._visits[number]:
                return f"step {number} has {self._found[number]} of {self._visits[number]} visits"
        if step and self._after[step] != position.get("fingerprint"):
            return f"fingerprint {position.get('fingerprint')}, not {self._after[step]}"
        for path, ends in self._ranges:
            if ends is not None and ends[0] <= step < ends[1]:
                return f"{path.name} of {path.parent.name} holds steps on both sides"
        return ""
