"""What is presented must be what was admitted: checked before the model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradledger.errors import InputError

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder


def commit_rows(
    recorder: Recorder, digests: Sequence[bytes], numbers: NDArray[np.int32], where: str
) -> list[bytes]:
    """Commit to what is presented and compare it with what was admitted.

    Args:
        recorder: Knows the admitted examples.
        digests: Of every row of the batch, 32 bytes each.
        numbers: The example that every row is said to be.
        where: The step.

    Returns:
        One keyed commitment per row.

    Raises:
        InputError: Content differs. Code I102; the model has not seen it yet.
    """
    commitments = []
    for place, (digest, number) in enumerate(zip(digests, numbers, strict=True)):
        presented = recorder.commit(number, digest)
        admitted = recorder.examples.commitments[number]
        if admitted is not None and admitted != presented:
            raise InputError(
                "I102",
                observed=f"content {presented.hex()[:16]} at position {place}",
                expected=f"content {admitted.hex()[:16]} of example {number}, as admitted",
                where=where,
                hint="if the loader pads, crops or augments, record with verify_content=False",
            )
        commitments.append(presented)
    return commitments
