"""The error of a run that is to stop where its books do not balance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gradledger.errors import BooksError
from gradledger.schema import GroupRecord

BAD_VERDICTS: Final = ("unbalanced", "not finite")


def unbalanced(
    step: int, rows: Sequence[Mapping[str, Any]], groups: Sequence[GroupRecord]
) -> BooksError:
    """Return the error that names the group which is furthest from balance.

    Args:
        step: Number of the step.
        rows: Its books; one at least does not balance.
        groups: All groups of the run.
    """
    bad = [row for row in rows if row["verdict"] in BAD_VERDICTS]
    worst = max(bad, key=lambda row: max(row["residual_ratio"] or 0.0, _gap(row)))
    name = next(group.name for group in groups if group.group == worst["group"])
    return BooksError(
        "B101",
        observed=f"residual {worst['residual_ratio'] or 0.0:.3g}, "
        f"gap {_gap(worst):.3g} ({_noise(worst)}{worst['verdict']})",
        expected="both within the tolerance of the number format",
        where=f"step {step}, parameter group {name}",
        hint="the step is recorded; look at it with `gradledger books RUN --step "
        f"{step}`, or record with on_imbalance='flag'",
    )


def _gap(row: Mapping[str, Any]) -> float:
    """Gap ratio of a row; infinite where there is a gap and no visit was captured."""
    return math.inf if row["gap_ratio"] is None else float(row["gap_ratio"])


def _noise(row: Mapping[str, Any]) -> str:
    """Say how much of a gap is no rounding noise, where that was asked."""
    excess = row["gap_excess_ratio"]
    return "" if excess is None else f"{excess:.3g} of it is no rounding noise; "
