"""The frozen-curvature adjoint: what each visit did to an interval, with the realised future in it.

A second measure beside shares of displacement. Second moments, learning rates and clip factors are
taken as they were; the gradients of later steps stand. A visit's contribution is then carried on
by all later steps as they really went: momentum spends it, decay shrinks it.
"""

from gradledger.replay.frozen.passes import (
    Stretch,
    book_task,
    finish_frozen,
    frozen_stretches,
    note_task,
)

__all__ = ["Stretch", "book_task", "finish_frozen", "frozen_stretches", "note_task"]
