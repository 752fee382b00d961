"""One example in plain words: every rule with its truth and why, class, profile, precedence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from gradledger.policy.assign import UNKNOWN_LABEL
from gradledger.policy.decide import decide
from gradledger.policy.decided import TRUTH_NAMES, Decisions
from gradledger.policy.evaluate import EvidenceFunction
from gradledger.policy.metadata import columns_of
from gradledger.policy.place import shown
from gradledger.policy.policy import Policy
from gradledger.policy.profile import LEAST
from gradledger.schema import VERDICTS, Decision

_VERDICTS: Final = {
    "admit": "admitted",
    "deny": "denied",
    "quarantine": "quarantined",
    "defer": "deferred",
}
_ORDER: Final = " over ".join(VERDICTS)


@dataclass(frozen=True)
class RuleExplanation:
    """One rule, or the predicate of one class, for one example.

    Attributes:
        id: Rule or class.
        effect: Verdict that a rule asks for when it is true; empty for a class.
        truth: ``true``, ``false`` or ``unknown``.
        determining: Whether the outcome rests on it.
        why: What it read, in words.
        text: The predicate.
        message: The policy's own words, if any.
    """

    id: str
    effect: str
    truth: str
    determining: bool
    why: str
    text: str
    message: str


@dataclass(frozen=True)
class Explanation:
    """Why one example is decided as it is.

    Attributes:
        decision: The decision.
        band: Its band; empty where the policy declares none.
        rules: Every rule, in the order of the policy.
        classes: Every class, in the order in which they are tried.
        precedence: Which rules override which.
        class_words: How the class was chosen.
        profile_words: How the depth profile was chosen.
        ignored: Values that were given and that the policy does not read.
    """

    decision: Decision
    band: str
    rules: tuple[RuleExplanation, ...]
    classes: tuple[RuleExplanation, ...]
    precedence: str
    class_words: str
    profile_words: str
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        decision = self.decision
        policy = f"policy {decision.policy_id}, version {decision.policy_version}"
        lines = [
            f"{_VERDICTS[decision.verdict]} at {decision.decided_at} by {policy}",
            f"because {decision.reason}",
            self.precedence,
            *(_line("rule", rule) for rule in self.rules),
            self.class_words,
            *(_line("class", entry) for entry in self.classes),
            self.profile_words,
        ]
        if self.ignored:
            lines.append(f"given and not read by the policy: {', '.join(self.ignored)}")
        return "\n".join(lines)


def explain(
    policy: Policy,
    record: Mapping[str, Any],
    now: datetime,
    functions: Mapping[str, EvidenceFunction] | None = None,
) -> Explanation:
    """Decide one example and say why.

    Args:
        policy: The policy.
        record: Attribute -> value; what it lacks is missing. Moments may be text of ISO 8601.
        now: Moment of decision, with a time zone.
        functions: Evidence functions by name.

    Raises:
        PolicyError: What ``decide`` raises.
    """
    columns = columns_of(policy, record)
    decided = decide(policy, pa.table({"": pa.nulls(1), **columns}), now, functions)
    decision = decided.record(0)
    rules = tuple(
        _explained(rule.id, rule.effect, decided, place, decision, rule.message)
        for place, rule in enumerate(policy.rules)
    )
    chosen = int(decided.classes[0])
    classes = tuple(
        RuleExplanation(
            entry.id,
            "",
            TRUTH_NAMES[decided.class_truths[place, 0]],
            place == chosen,
            _why(TRUTH_NAMES[decided.class_truths[place, 0]], entry.reads, decision),
            entry.text,
            entry.description,
        )
        for place, entry in enumerate(policy.classes)
    )
    return Explanation(
        decision=decision,
        band=decided.bands[0].as_py(),
        rules=rules,
        classes=classes,
        precedence=_precedence(decision),
        class_words=_class_words(policy, decision, classes),
        profile_words=_profile_words(policy, decision, decided.bands[0].as_py()),
        ignored=tuple(name for name in record if name not in policy.reads),
    )


def _explained(
    name: str, effect: str, decided: Decisions, place: int, decision: Decision, message: str
) -> RuleExplanation:
    rule, truth = decided.policy.rules[place], decision.truths[place]
    why = _why(truth.truth, rule.reads, decision)
    return RuleExplanation(name, effect, truth.truth, truth.determining, why, rule.text, message)


def _why(truth: str, reads: Sequence[str], decision: Decision) -> str:
    values = decision.attributes
    absent = [name for name in reads if values[name] is None]
    known = [f"{name} = {shown(values[name])}" for name in reads if values[name] is not None]
    if truth == "unknown" and absent:
        verb = "is" if len(absent) == 1 else "are"
        return f"{' and '.join(absent)} {verb} missing" + (f"; {', '.join(known)}" if known else "")
    if truth == "unknown":
        return f"{', '.join(known)} does not settle it"
    if absent:
        known.append(f"whatever {' and '.join(absent)} may be")
    return ", ".join(known) or "it reads no attribute"


def _precedence(decision: Decision) -> str:
    """Say which rules the verdict overrides."""
    resting = [truth for truth in decision.truths if truth.determining]
    if not resting:
        return f"precedence ({_ORDER}): no rule is true or unknown, and the default is deny"
    overridden = [
        truth
        for truth in decision.truths
        if truth.truth == "true" and not truth.determining and truth.effect != decision.verdict
    ]
    said = " and ".join(f"{truth.rule} ({truth.effect}, {truth.truth})" for truth in resting)
    if not overridden:
        return f"precedence ({_ORDER}): {decision.verdict} rests on {said}, and overrides nothing"
    weaker = " and ".join(f"{truth.rule} ({truth.effect})" for truth in overridden)
    return f"precedence ({_ORDER}): {decision.verdict} rests on {said}, and overrides {weaker}"


def _class_words(policy: Policy, decision: Decision, classes: Sequence[RuleExplanation]) -> str:
    if not policy.classes:
        return f"class {decision.content_class}: the policy declares no classes"
    if decision.content_class != UNKNOWN_LABEL:
        return f"class {decision.content_class}: the first class that holds"
    blocking = next((entry for entry in classes if entry.truth == "unknown"), None)
    if blocking is not None:
        return f"class unknown: class {blocking.id} might come first, and {blocking.why}"
    return "class unknown: no class holds"


def _profile_words(policy: Policy, decision: Decision, band: str) -> str:
    measured = f"band {band}" if band else "no bands"
    if decision.verdict != "admit":
        return f"profile {decision.profile}: what is not admitted acts nowhere"
    profile = policy.profiles[decision.profile]
    said = f"profile {decision.profile}: class {decision.content_class}, {measured}"
    if decision.profile == LEAST:
        return f"{said}; class or band is not known, so every block gets its smallest weight"
    return f"{said}" + (f"; {profile.description}" if profile.description else "")


def _line(what: str, entry: RuleExplanation) -> str:
    effect = f" ({entry.effect})" if entry.effect else ""
    return f"  {what} {entry.id}{effect} is {entry.truth}: {entry.why}" + (
        ", and the outcome rests on it" if entry.determining else ""
    )
