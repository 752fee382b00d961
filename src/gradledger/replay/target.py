"""What a settling pass takes inner products with: vectors per interval, and where results go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradledger.recorder.recorder import Recorder
from gradledger.replay.recorded import RecordedVisit
from gradledger.segment import SealedSegment


class Target(Protocol):
    """Vectors of the parameters' shape, one for each interval that a step lies in.

    Places count the intervals that are active in the current step.
    """

    @property
    def num_active(self) -> int:
        """Active intervals of the step that ``begin`` was called for."""

    def begin(self, recorder: Recorder, step: int) -> int:
        """Get ready for a step; return the number of active intervals."""

    def vector(self, place: int, name: str) -> Tensor:
        """Return the vector of an active interval for one parameter tensor."""

    def add_line(self, place: int, column: int, line: str, value: float) -> None:
        """Add one tensor's part of an accrual line of a group: its inner product."""

    def add_visits(
        self, place: int, visits: Sequence[RecordedVisit], dots: NDArray[np.float64]
    ) -> None:
        """Take the inner products of the step's entries: one row per visit, column per group."""

    def end(self, step: int) -> None:
        """The step is over: everything of it was added."""

    def finish(self) -> list[SealedSegment]:
        """Seal what was added up; return the segments."""

    def discard(self) -> None:
        """Remove what was written, because the pass failed."""


def visit_columns(visits: Sequence[RecordedVisit]) -> dict[str, Any]:
    """Return the columns that say which visits a table's rows are."""
    return {
        "step": [visit.step for visit in visits],
        "micro_batch": [visit.micro_batch for visit in visits],
        "position": [visit.position for visit in visits],
        "example": [visit.example for visit in visits],
        "decision": [visit.decision for visit in visits],
    }
