"""The rows of the visits table that one step gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from gradledger.recorder.sink import VisitRows

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder
    from gradledger.recorder.step import Step

#: Bits of the fraction of float32; what a booked figure of a visit may keep of them.
FULL_BITS: Final = 23
VISIT_BITS: Final = tuple(str(bits) for bits in range(8, FULL_BITS + 1))


def visit_rows(
    recorder: Recorder,
    step: Step,
    measured: Mapping[str, NDArray[np.float32]],
    bits: int = FULL_BITS,
) -> VisitRows:
    """Return one row per visit of a step.

    Args:
        recorder: Knows examples, decisions and parameter groups.
        step: The step that ended.
        measured: ``align``, ``gnorm``, ``unorm``: one row per visit, one column per group.
        bits: Bits of the fraction that are kept of each; fewer compress better.
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
    measures = {
        name: rounded(measured.get(name, empty), bits) for name in ("align", "gnorm", "unorm")
    }
    return VisitRows(columns, measures)


def rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Round to so many bits of the fraction, to nearest, ties to even; NaN and 0 stay.

    The relative error is at most 2^-(bits + 1). An infinity is given back as it is.
    """
    drop = FULL_BITS - bits
    if not drop:
        return values
    held = np.ascontiguousarray(values, np.float32)
    whole = held.view(np.uint32).astype(np.uint64)
    up = (np.uint64(1) << np.uint64(drop - 1)) - np.uint64(1)
    odd = (whole >> np.uint64(drop)) & np.uint64(1)
    short = ((whole + up + odd) >> np.uint64(drop)) << np.uint64(drop)
    return np.where(np.isfinite(held), short.astype(np.uint32).view(np.float32), held)


def _or_blank(values: Sequence[float] | None, count: int) -> Sequence[float | None]:
    """Return one value per visit; None for each where nothing was given."""
    return values or [None] * count
