"""Settings of an optimizer param group: read as floats, and refused where no entry would be finite.

A schedule may move a setting in any step, so they are read and checked at every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gradledger.errors import UpdateError

__all__ = ["read_settings", "refuse_settings"]


def read_settings(param_group: Mapping[str, Any], names: Iterable[str]) -> dict[str, float]:
    """Return settings as floats; flags are 0.0 or 1.0, ``betas`` become ``beta1`` and ``beta2``."""
    settings = {name: float(param_group[name]) for name in names}
    for place, beta in enumerate(param_group.get("betas", ()), start=1):
        settings[f"beta{place}"] = float(beta)
    return settings


def refuse_settings(param_group: Mapping[str, Any], where: str) -> None:
    """Refuse what no family can book.

    Raises:
        UpdateError: U102 for a differentiable step, and for momentum or betas of 1 or more: a
            gradient that never fades has no finite entry.
    """
    if param_group.get("differentiable"):
        raise UpdateError(
            "U102",
            observed="differentiable=True",
            expected="differentiable=False",
            where=where,
            hint="step outside autograd, or train without a ledger",
        )
    momentum = float(param_group.get("momentum", 0.0))
    if not 0.0 <= momentum < 1.0:
        raise UpdateError(
            "U102",
            observed=f"momentum {momentum:g}",
            expected="momentum in [0, 1)",
            where=where,
            hint="lower the momentum",
        )
    betas = tuple(float(beta) for beta in param_group.get("betas", ()))
    if not all(0.0 <= beta < 1.0 for beta in betas):
        raise UpdateError(
            "U102",
            observed=f"betas {betas}",
            expected="betas in [0, 1)",
            where=where,
            hint="correct the schedule of betas",
        )
