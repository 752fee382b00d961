"""What the begin record says of the policy and the optimizer."""

from __future__ import annotations

from typing import Any

from torch import optim

from gradledger.policy import Policy
from gradledger.recorder.attach import Observation


def describe_policy(policy: Policy | None) -> dict[str, Any]:
    """Return id, version and digest; nothing where there is no policy."""
    if policy is None:
        return {}
    return {"id": policy.id, "version": policy.version, "digest": policy.digest}


def describe_optimizer(optimizer: optim.Optimizer, seen: Observation) -> dict[str, Any]:
    """Return family, class and the plain settings of every param group."""
    plain = (bool, int, float, str, type(None))
    return {
        "family": seen.family,
        "class": f"{type(optimizer).__module__}.{type(optimizer).__qualname__}",
        "param_groups": [
            {
                name: float(value) if hasattr(value, "item") else value
                for name, value in group.items()
                if isinstance(value, plain) or name in ("betas", "lr")
            }
            for group in optimizer.param_groups
        ],
    }
