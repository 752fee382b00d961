"""The rows of the visits table that one step gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradledger.recorder.sink import VisitRows

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder
    from gradledger.recorder.step import Step


def visit_rows(
    recorder: Recorder, step: Step, measured: Mapping[str, NDArray[np.float32]]
) -> VisitRows:
    """Return one row per visit of a step.

    Args:
        recorder: Knows examples, decisions and parameter groups.
        step: The step that ended.
        measured: ``align``, ``gnorm``, ``unorm``: one row per visit, one column per group.
    """
    micros = step.micro_batches
    numbers = np.concatenate([micro.examples for micro in micros]) if micros else np.empty(0, int)
    columns: dict[str, Any] = {
        "step": [step.number] * len(numbers),
        "micro_batch": [place for place, micro in enumerate(micros) for _ in range(len(micro))],
        "position": [place for micro in micros for place in range(len(micro))],
        "example": numbers.tolist(),
        "decision": recorder.examples.decision[numbers].tolist(),
        "loss": [value for micro in micros for value in _or_blank(micro.losses, len(micro))],
        "tokens": [value for micro in micros for value in _or_blank(micro.tokens, len(micro))],
        "digest": [value for micro in micros for value in micro.digests],
    }
    empty = np.full((len(numbers), len(recorder.grouping.groups)), np.nan, np.float32)
    measures = {name: measured.get(name, empty) for name in ("align", "gnorm", "unorm")}
    return VisitRows(columns, measures)


def _or_blank(values: Sequence[float] | None, count: int) -> Sequence[float | None]:
    """Return one value per visit; None for each where nothing was given."""
    return values or [None] * count
