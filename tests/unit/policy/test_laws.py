"""The laws of admission, on random policies and random examples."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reference import ATTRIBUTES, document, predicates, records, rules, truth, verdict

from gradledger.canon import canonical_json
from gradledger.policy import Decisions, decide, load_policy

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LAW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SCHEMA = pa.schema([
    ("s", pa.string()), ("t", pa.string()), ("n", pa.int64()), ("x", pa.float64()),
    ("b", pa.bool_()),
])  # fmt: skip
CLASSES = [
    {"id": "first", "when": "b AND n > 0"},
    {"id": "second", "when": "s = 'a' OR x >= 0.5"},
]
RANK = {"deny": 0, "quarantine": 1, "defer": 2, "admit": 3}


def decided(given_rules: list[Any], examples: list[dict[str, Any]], **more: Any) -> Decisions:
    return decide(load_policy(document(given_rules, **more)), table(examples), NOW)


def table(examples: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(examples, SCHEMA)


def verdicts(decisions: Decisions) -> list[str]:
    return [decisions.distinct[code].verdict for code in decisions.code]


many = st.lists(records, min_size=1, max_size=8)


@LAW
@given(predicates, many)
def test_truth_is_that_of_the_reference(node: Any, examples: list[dict[str, Any]]) -> None:
    decisions = decided([("deny", node)], examples)
    names = {True: "true", False: "false", None: "unknown"}
    found = [decisions.distinct[code].truths[0].truth for code in decisions.code]
    assert found == [names[truth(node, example)] for example in examples]


@LAW
@given(rules, many)
def test_verdicts_are_those_of_the_reference(
    given_rules: list[Any], examples: list[dict[str, Any]]
) -> None:
    expected = [verdict(given_rules, example) for example in examples]
    assert verdicts(decided(given_rules, examples)) == expected


@LAW
@given(rules, st.sampled_from(["deny", "quarantine", "defer"]), predicates, many, st.data())
def test_a_further_rule_against_never_admits_more(
    given_rules: list[Any],
    effect: str,
    node: Any,
    examples: list[dict[str, Any]],
    data: st.DataObject,
) -> None:
    place = data.draw(st.integers(0, len(given_rules)))
    more = [*given_rules[:place], (effect, node), *given_rules[place:]]
    before, after = verdicts(decided(given_rules, examples)), verdicts(decided(more, examples))
    for one, other in zip(before, after, strict=True):
        assert other != "admit" or one == "admit"
        assert effect != "deny" or RANK[other] <= RANK[one] or one == "deny"


@LAW
@given(rules, records, st.sets(st.sampled_from(sorted(ATTRIBUTES)), min_size=1))
def test_deleting_attributes_never_admits_more(
    given_rules: list[Any], example: dict[str, Any], deleted: set[str]
) -> None:
    less = {name: None if name in deleted else value for name, value in example.items()}
    with_all, without = verdicts(decided(given_rules, [example, less]))
    assert without != "admit" or with_all == "admit"


@LAW
@given(rules, records, st.sets(st.sampled_from(sorted(ATTRIBUTES)), min_size=1))
def test_deleting_attributes_never_reaches_deeper(
    given_rules: list[Any], example: dict[str, Any], deleted: set[str]
) -> None:
    """Profiles: less is known of an example, so no block gets more of it."""
    more = {
        "classes": CLASSES,
        "bands": {"attribute": "x", "edges": [0.25], "names": ["low", "high"]},
        "profiles": {"half": {"default": 0.5}, "none-of-it": {"default": 0}},
        "assign": {
            "default": "half",
            "by": [
                {"class": "first", "profile": "full"},
                {"class": "second", "band": "low", "profile": "none-of-it"},
            ],
        },
    }
    less = {name: None if name in deleted else value for name, value in example.items()}
    decisions = decided(given_rules, [example, less], **more)
    weight = {"full": 1.0, "half": 0.5, "none-of-it": 0.0, "least": 0.0, "none": 0.0}
    whole, part = (weight[decisions.distinct[code].profile] for code in decisions.code)
    if "admit" in verdicts(decisions)[1:]:
        assert part <= whole


@LAW
@given(st.data(), rules, many)
def test_order_of_rules_never_matters(
    data: st.DataObject, given_rules: list[Any], examples: list[dict[str, Any]]
) -> None:
    shuffled = data.draw(st.permutations(given_rules))
    assert verdicts(decided(shuffled, examples)) == verdicts(decided(given_rules, examples))


@LAW
@given(rules, many)
def test_the_same_input_gives_the_same_bytes(
    given_rules: list[Any], examples: list[dict[str, Any]]
) -> None:
    def content() -> tuple[bytes, bytes]:
        decisions = decided(given_rules, examples, classes=CLASSES)
        return canonical_json(decisions.distinct), decisions.code.tobytes()

    assert content() == content()


@LAW
@given(rules, many)
def test_unknown_never_admits(given_rules: list[Any], examples: list[dict[str, Any]]) -> None:
    decisions = decided(given_rules, examples)
    for decision in decisions.distinct:
        if decision.verdict == "admit":
            resting = {rule.truth for rule in decision.truths if rule.determining}
            assert resting == {"true"}
            assert all(r.effect == "admit" or r.truth == "false" for r in decision.truths)


@LAW
@given(st.lists(st.sampled_from(sorted(RANK)), min_size=1, max_size=5), records)
def test_deny_over_quarantine_over_defer_over_admit(
    effects: list[str], example: dict[str, Any]
) -> None:
    """All rules true: the strongest effect is the verdict, and it rests on just those rules."""
    decisions = decided([(effect, ("fixed", True)) for effect in effects], [example])
    (decision,) = decisions.distinct
    assert decision.verdict == min(effects, key=RANK.__getitem__)
    assert [r.effect == decision.verdict for r in decision.truths] == [
        r.determining for r in decision.truths
    ]


@LAW
@given(rules, many)
def test_columns_are_the_records(given_rules: list[Any], examples: list[dict[str, Any]]) -> None:
    """What a run stores column by column is what the records say one by one."""
    bands = {"attribute": "x", "edges": [0.25], "names": ["low", "high"]}
    decisions = decided(given_rules, examples, classes=CLASSES, bands=bands)
    columns = {name: list(values.to_pylist()) for name, values in decisions.columns().items()}
    for number, decision in enumerate(decisions.distinct):
        found = {name: values[number] for name, values in columns.items()}
        assert found == {
            "verdict": decision.verdict,
            "class": decision.content_class,
            "profile": decision.profile,
            "policy_digest": decision.policy_digest,
            "policy_id": decision.policy_id,
            "policy_version": decision.policy_version,
            "decided_at": decision.decided_at,
            "attributes": canonical_json(decision.attributes).decode(),
            "reason": decision.reason,
        }
    truths = decisions.truth_columns()
    flat = [rule for decision in decisions.distinct for rule in decision.truths]
    for name in ("rule", "effect", "truth"):
        assert truths[name].to_pylist() == [getattr(rule, name) for rule in flat]
    assert truths["determining"].tolist() == [rule.determining for rule in flat]
    assert sum(decisions.count().values()) == len(examples)


@LAW
@given(rules, many)
def test_equal_attributes_share_one_decision(
    given_rules: list[Any], examples: list[dict[str, Any]]
) -> None:
    decisions = decided(given_rules, [*examples, *examples])
    assume(decisions.policy.reads)
    half = len(examples)
    assert decisions.code[:half].tolist() == decisions.code[half:].tolist()
    read = decisions.policy.reads
    assert len(decisions) == len({tuple(e[name] for name in read) for e in examples})
