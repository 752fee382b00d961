"""The books of the last step in a few numbers, for whatever draws curves of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder

__all__ = ["book_scalars"]


def book_scalars(run: Recorder, prefix: str = "gradledger/") -> dict[str, float]:
    """Return the books of the last booked step as named numbers.

    Any logger takes them: ``writer.add_scalar``, ``mlflow.log_metrics``, ``wandb.log`` or a
    trainer's own ``log``.

    Args:
        run: The run.
        prefix: Put before every name.

    Returns:
        ``delta_norm``; the largest ``residual`` and ``gap`` over all groups, as ratios; the shares
        ``visits``, ``history``, ``decay``, ``edits``, ``unattributed`` and ``rounding`` of the
        squared change on cash basis, which with the remainders add up to 1; ``clip``, the smallest
        clip factor; ``steps``. Empty before the first booked step, and at level ``decisions`` all
        but ``delta_norm`` and ``steps`` are left out.
    """
    rows = run.booker.last_rows
    if not rows:
        return {}
    square = sum((row["delta_norm"] or 0.0) ** 2 for row in rows)
    found = {"delta_norm": square**0.5, "steps": float(run.num_steps)}
    if "residual_ratio" in rows[0]:
        found["residual"] = _largest(rows, "residual_ratio")
        found["gap"] = _largest(rows, "gap_ratio")
        found["clip"] = min((row["clip"] for row in rows if row["clip"] is not None), default=1.0)
        lines = {
            "visits": ("contributions",),
            "history": ("history", "history_decay"),
            "decay": ("decay",),
            "edits": ("edits",),
            "unattributed": ("unattributed",),
            "rounding": ("rounding",),
        }
        for name, parts in lines.items():
            dot = sum(row[f"{part}_dot"] or 0.0 for row in rows for part in parts)
            found[name] = dot / square if square else 0.0
    return {prefix + name: float(value) for name, value in found.items()}


def _largest(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return max((row[name] for row in rows if row[name] is not None), default=0.0)
