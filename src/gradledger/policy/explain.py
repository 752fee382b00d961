"""Decisions in plain words."""

from __future__ import annotations

from typing import Final

from gradledger.policy.place import shown
from gradledger.schema import Decision

_VERDICTS: Final = {
    "admit": "admitted",
    "deny": "denied",
    "quarantine": "quarantined",
    "defer": "deferred",
}
_MISSING: Final = "missing"


def explain(decision: Decision) -> str:
    """Return one decision in plain words, several lines.

    Args:
        decision: From ``decide``, or read back from a ledger.
    """
    policy = f"policy {decision.policy_id}, version {decision.policy_version}"
    lines = [
        f"{_VERDICTS.get(decision.verdict, decision.verdict)} at {decision.decided_at} by {policy}",
        f"because {decision.reason}",
        f"class {decision.content_class}, depth profile {decision.profile}",
    ]
    lines += [
        f"  rule {truth.rule} ({truth.effect}) is {truth.truth}"
        + (", and the verdict rests on it" if truth.determining else "")
        for truth in decision.truths
    ]
    lines += [
        f"  {name}: {_MISSING if value is None else shown(value)}"
        for name, value in decision.attributes.items()
    ]
    return "\n".join(lines)
