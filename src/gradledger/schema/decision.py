"""Admission decisions: one per distinct attribute tuple, with the truth of every rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Verdicts from the strongest to the weakest; a stronger one overrides.
VERDICTS: Final[tuple[str, ...]] = ("deny", "quarantine", "defer", "admit")


@dataclass(frozen=True)
class RuleTruth:
    """Truth value of one rule for one decision.

    Attributes:
        rule: Rule id within its policy.
        effect: What the rule does when true: a verdict.
        truth: ``"true"``, ``"false"`` or ``"unknown"`` (an attribute was missing).
        determining: Whether the verdict rests on this rule.
    """

    rule: str
    effect: str
    truth: str
    determining: bool


@dataclass(frozen=True)
class Decision:
    """What a policy decided for every example that shares one attribute tuple.

    Attributes:
        decision: Dense number within the run.
        verdict: One of ``VERDICTS``.
        content_class: Governance label given by the policy.
        profile: Name of the depth profile within the policy.
        policy_digest: SHA-256 of the policy's canonical form, hex.
        policy_id: Policy identifier.
        policy_version: Policy version.
        decided_at: The recorded ``now``, ISO 8601 UTC.
        attributes: The attribute values that the policy saw.
        truths: One entry per rule, in policy order.
        reason: Plain words: why this verdict.
    """

    decision: int
    verdict: str
    content_class: str
    profile: str
    policy_digest: str
    policy_id: str
    policy_version: str
    decided_at: str
    attributes: dict[str, object]
    truths: tuple[RuleTruth, ...]
    reason: str
