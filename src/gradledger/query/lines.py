"""The lines of the books in words, and how they are gathered for a narrow page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gradledger.schema import ACCRUAL_LINES, CASH_LINES, FROZEN_LINES

LINE_WORDS: Final[dict[str, str]] = {
    "contributions": "direct part of these steps' visits",
    "gap": "what capture missed",
    "unattributed": "parameters without capture",
    "edits": "clipping by value, noise, hooks",
    "history": "momentum of earlier gradients",
    "history_decay": "momentum of earlier coupled decay",
    "decay": "weight decay of these steps",
    "remainder": "non-linear part of the optimizer, or rounding inside it",
    "rounding": "rounding of the parameter write",
    "residual": "what nothing explains",
    "accrued_contributions": "entries of these steps' visits",
    "accrued_gap": "what capture missed, accrued",
    "accrued_unattributed": "parameters without capture, accrued",
    "accrued_edits": "clipping by value, noise, hooks, accrued",
    "accrued_coupled_decay": "coupled weight decay, accrued",
    "inventory": "change of outstanding momentum",
    "revaluation": "outstanding momentum at changed rates",
    "decoupled_decay": "decoupled weight decay",
    "accrual_remainder": "non-linear part of the optimizer, or rounding inside it",
    "accrual_rounding": "rounding of the parameter write",
    "accrual_residual": "what nothing explains",
    "frozen_contributions": "what later steps made of these steps' visits",
    "frozen_gap": "what capture missed, carried on",
    "frozen_unattributed": "parameters without capture, carried on",
    "frozen_edits": "clipping by value, noise, hooks, carried on",
    "frozen_decay": "decay of what was there before the interval",
    "frozen_opening": "momentum that was carried into the interval",
    "frozen_remainder": "non-linear part of the optimizer, carried on",
    "frozen_rounding": "rounding of parameters and momentum, carried on",
    "frozen_residual": "what nothing explains",
    "visits": "entries of these steps' visits",
    "coupled_decay": "coupled weight decay",
    "buffers": "running statistics and other buffers",
}


def in_order(lines: Iterable[str]) -> list[str]:
    """Return lines in the order of the schema, the visits' own first; unknown ones last."""
    order = {line: place for place, line in enumerate((*CASH_LINES, *ACCRUAL_LINES, *FROZEN_LINES))}
    return sorted(lines, key=lambda line: (line != "visits", order.get(line, len(order)), line))


def line_words(line: str) -> str:
    """Return what a line of the books holds; the name itself where it is not known."""
    return LINE_WORDS.get(line, line.replace("_", " "))
