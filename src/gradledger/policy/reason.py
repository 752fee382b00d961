"""Why a verdict was taken, in one line that records keep."""

from __future__ import annotations

from collections.abc import Sequence

from gradledger.policy.policy import Rule


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
        cause = f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} missing"
    else:
        cause = f"what is known of {' and '.join(rule.reads)} does not settle it"
    return f"rule {rule.id} ({rule.effect}) is unknown, which leads to {verdict}: {cause}"
