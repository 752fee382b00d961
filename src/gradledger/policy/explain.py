"""Decisions in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gradledger.policy.place import shown
from gradledger.policy.policy import Rule
from gradledger.schema import Decision

_VERDICTS: Final = {
    "admit": "admitted",
    "deny": "denied",
    "quarantine": "quarantined",
    "defer": "deferred",
}
_MISSING: Final = "missing"


def reason(verdict: str, rules: Sequence[tuple[Rule, bool]], missing: Sequence[str]) -> str:
    """Return why, in one line.

    Args:
        verdict: One of ``VERDICTS``.
        rules: The rules on which it rests, each with whether it is unknown.
        missing: Attributes that are missing.
    """
    if not rules:
        return "no rule admits it, and what no rule admits is denied"
    return "; ".join(
        _undecided(rule, verdict, missing) if unknown else _true(rule) for rule, unknown in rules
    )


def _true(rule: Rule) -> str:
    return f"rule {rule.id}: {rule.message or f'{rule.text.strip()} is true'}"


def _undecided(rule: Rule, verdict: str, missing: Sequence[str]) -> str:
    absent = [name for name in rule.reads if name in missing]
    if absent:
        cause = f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} {_MISSING}"
    else:
        cause = f"what is known of {' and '.join(rule.reads)} does not settle it"
    return f"rule {rule.id} ({rule.effect}) is unknown, which leads to {verdict}: {cause}"


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
