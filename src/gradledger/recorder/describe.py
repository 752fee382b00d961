"""What the begin record says of policy, profiles, optimizer and opening balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn, optim

from gradledger.policy import Policy, resolve_profile
from gradledger.recorder.attach import Observation
from gradledger.recorder.states import state_name
from gradledger.recorder.weights import FULL
from gradledger.state.torch_state import model_digest


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


def describe_profiles(policy: Policy | None, blocks: Sequence[str]) -> dict[str, list[float]]:
    """Return the weights of every depth profile, one per block; the full one is always there.

    Raises:
        PolicyError: A profile names a block that the model lacks. Code P142.
    """
    profiles = policy.profiles if policy is not None else {}
    resolved = {name: resolve_profile(profile, blocks) for name, profile in profiles.items()}
    return {FULL: [1.0] * len(blocks), **resolved}


def may_limit(policy: Policy | None) -> bool:
    """Whether a policy has a depth profile that may keep an example out of a block."""
    return policy is not None and any(
        profile.least_of or not profile.is_full for profile in policy.profiles.values()
    )


def describe_opening(opening: Mapping[str, Any] | None, model: nn.Module) -> dict[str, Any]:
    """Return the opening balance: what the caller says of the model, and its digest."""
    return {
        **dict(opening or {"source": "not stated"}),
        "state": state_name(0),
        "state_digest": model_digest(model),
    }
