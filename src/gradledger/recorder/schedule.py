"""When model states are stored, and which stay: a few, evenly spread, however long a run is.

A replay begins at a stored state, so their distance bounds what it costs; their number bounds the
disk. With ``keep`` states in the middle, the stride doubles whenever there would be more, and the
states that are no multiple of it go. What stands after any step follows from its number alone, so
that a resumed run keeps what the uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gradledger.errors import InputError
from gradledger.probe import is_step
from gradledger.recorder.behaviours import probe_weights_path
from gradledger.recorder.resume_point import stored_steps
from gradledger.recorder.states import state_name
from gradledger.segment import make_folder, read_json, remove_folder, sync_folder

#: Where nobody asks for anything else: a state every so many steps, thinned to so many.
DEFAULT_EVERY: Final = 50
DEFAULT_KEEP: Final = 3


@dataclass(frozen=True)
class StateSchedule:
    """Which steps a state is stored after, besides the opening and the last one.

    Attributes:
        every: Steps between two states at first; 0 for none.
        keep: States that stay at most, by a stride that doubles; 0 for all.
    """

    every: int
    keep: int

    @classmethod
    def of(cls, every: int | None, keep: int | None) -> StateSchedule:
        """Return the schedule that is asked for; None stands for the default.

        Raises:
            InputError: A number is no whole one of at least 0. Code I104.
        """
        for name, value in (("state_every", every), ("state_keep", keep)):
            if value is not None and not is_step(value):
                raise InputError(
                    "I104",
                    observed=f"{name}={value!r}",
                    expected="a whole number, 0 or more",
                    where="gl.record",
                )
        if keep is None:
            keep = DEFAULT_KEEP if every is None else 0
        return cls(DEFAULT_EVERY if every is None else every, keep)

    def stride(self, step: int) -> int:
        """Return the distance of the states that stand after a step."""
        stride = self.every
        while self.keep and step // stride > self.keep:
            stride *= 2
        return stride

    def is_due(self, step: int) -> bool:
        """Whether a state is stored after this step."""
        return bool(self.every) and step > 0 and step % self.stride(step) == 0

    def num_states(self, steps: int) -> int:
        """Return how many states a run of so many steps keeps, both ends included."""
        inside = (steps - 1) // self.stride(steps) if self.every and steps else 0
        return 1 + bool(steps) + inside

    def too_many(self, stored: Sequence[int], step: int) -> list[int]:
        """Return which stored states go, once the one after ``step`` is stored."""
        if not self.every or not self.keep:
            return []
        stride = self.stride(step)
        return [other for other in stored if 0 < other < step and other % stride]


def thin(
    run_dir: Path, schedule: StateSchedule, step: int, announce: Callable[[int], None]
) -> list[int]:
    """Remove the states that a schedule leaves behind; return their steps.

    States that a resume went on from stay. Weights that a probed interval ends with are kept where
    those of other probed steps lie.

    Args:
        run_dir: The run.
        schedule: Which states stay.
        step: The state that was stored last.
        announce: Writes into the log that a state goes, before it does.
    """
    gone = [
        other
        for other in schedule.too_many(stored_steps(run_dir), step)
        if state_name(other) not in resumed_from(run_dir)
    ]
    for other in gone:
        announce(other)
        folder = run_dir / state_name(other)
        if (run_dir / "probes").is_dir():
            weights = probe_weights_path(run_dir, other)
            make_folder(weights.parent)
            (folder / "model.safetensors").replace(weights)
            sync_folder(weights.parent)
        remove_folder(folder)
    return gone


def resumed_from(run_dir: Path) -> frozenset[str]:
    """Return the states that resumes went on from."""
    return frozenset(
        str(read_json(path)["state"]) for path in (run_dir / "resumes").glob("resume-*.json")
    )
