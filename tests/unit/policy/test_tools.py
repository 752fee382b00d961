"""check, simulate, diff and explain, counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import document, records, rules

from gradledger.errors import PolicyError
from gradledger.policy import check, decide, diff, explain, load_policy, simulate

NOW = datetime(2026, 1, 31, tzinfo=UTC)
POLICY = """
format: gradledger.policy/1
policy: test.tools
version: "1"
attributes:
  license: {type: spdx}
  opted_out: {type: bool}
  density: {type: float}
  unused: {type: string}
rules:
  - {id: open, effect: admit, when: "license IN ('MIT', 'ISC')", message: it is open}
  - {id: opted-out, effect: deny, when: opted_out}
  - {id: gpl, effect: defer, when: "license LIKE 'GPL%'"}
classes:
  - {id: mit, when: "license = 'MIT'"}
  - {id: known, when: "license <> 'NONE'"}
bands: {attribute: density, edges: [2.0], names: [thin, thick]}
profiles:
  half: {default: 0.5, weights: [{blocks: head, weight: 1}]}
  idle: {default: 0}
assign:
  default: half
  by: [{class: mit, band: thick, profile: full}]
"""
ROWS = [
    ("MIT", False, 3.0, "a"),  # admitted in full
    ("MIT", False, None, "a"),  # band not known: least
    ("MIT", None, 3.0, "a"),  # opt-out not known: quarantine
    ("ISC", False, 1.0, "b"),  # admitted, half
    ("GPL-3.0-only", False, 3.0, "b"),  # deferred
    ("GPL-3.0-only", True, 3.0, None),  # denied
    (None, False, 3.0, None),  # licence not known
    ("NONE", False, 3.0, None),  # denied by default
]
NAMES = ("license", "opted_out", "density", "source")
TABLE = pa.table({name: [row[place] for row in ROWS] for place, name in enumerate(NAMES)})


def test_check_says_what_the_policy_does() -> None:
    result = check(POLICY, ["embed", "body", "head"])
    assert result.ok
    assert result.policy is not None
    assert result.weights == {
        "full": [1, 1, 1], "half": [0.5, 0.5, 1], "idle": [0, 0, 0], "least": [0.5, 0.5, 1],
    }  # fmt: skip
    said = " | ".join(result.remarks)
    assert "never read: unused" in said
    assert "no class or band gets: idle" in said


def test_check_reports_all_mistakes_in_order() -> None:
    text = POLICY.replace("effect: deny", "effects: deny").replace("opted_out}", "opted}")
    text = text.replace("license LIKE", "SELECT license LIKE").replace(
        "default: half", "default: x"
    )
    found = [(problem.code, problem.where) for problem in check(text).problems]
    assert found == [
        ("P111", "policy:12:5"),
        ("P112", "policy:12:21"),
        ("P124", "policy:13:37"),
        ("P117", "policy:22:12"),
    ]


def test_check_does_not_guess_behind_faulty_attributes() -> None:
    text = POLICY.replace("license: {type: spdx}", "license: {type: text}")
    assert [problem.code for problem in check(text).problems] == ["P113"]


def test_check_names_every_block_that_the_model_lacks() -> None:
    text = POLICY.replace(
        "[{blocks: head, weight: 1}]", "[{blocks: a, weight: 1}, {blocks: b, weight: 0}]"
    )
    assert [problem.code for problem in check(text, ["head"]).problems] == ["P142", "P142"]


def test_check_warns_of_a_policy_that_admits_nothing() -> None:
    text = document([("deny", ("holds", "b"))])
    assert "no rule admits, so that nothing would ever be admitted" in check(text).remarks


def test_simulate_counts() -> None:
    result = simulate(load_policy(POLICY), TABLE, NOW, by="source")
    assert result.by_verdict() == {"deny": 2, "quarantine": 2, "defer": 1, "admit": 3}
    assert {row["class"]: row["examples"] for row in result.by_class()} == {
        "mit": 3, "known": 3, "unknown": 2,
    }  # fmt: skip
    assert {row["band"]: row["examples"] for row in result.by_band()} == {
        "thin": 1, "thick": 6, "unknown": 1,
    }  # fmt: skip
    profiles = {row["profile"]: row["examples"] for row in result.by_profile()}
    assert profiles == {"full": 1, "half": 1, "least": 1}
    names = ("rule", "effect", "true", "unknown", "false", "rests", "alone")
    assert [tuple(row[name] for name in names) for row in result.by_rule()] == [
        ("open", "admit", 4, 1, 3, 3, 3),
        ("opted-out", "deny", 1, 1, 6, 2, 2),
        ("gpl", "defer", 2, 1, 5, 2, 2),
    ]
    missing = {row["attribute"]: row for row in result.by_missing()}
    assert missing["license"]["missing"] == 1
    assert (missing["license"]["undecided"], missing["license"]["unclassified"]) == (1, 1)
    assert (missing["opted_out"]["undecided"], missing["opted_out"]["quarantine"]) == (1, 1)
    assert (missing["density"]["undecided"], missing["density"]["unclassified"]) == (0, 1)
    groups = {row["source"]: row for row in result.by_group()}
    assert (groups["a"]["admit"], groups["b"]["defer"], groups[None]["deny"]) == (2, 1, 2)
    reasons = [(row["verdict"], row["reason"]) for row in result.by_reason()]
    assert ("admit", "rule open: it is open") in reasons
    assert [verdict for verdict, _ in reasons] == sorted(
        (verdict for verdict, _ in reasons), key=["deny", "quarantine", "defer", "admit"].index
    )


def test_simulate_writes_what_it_decided(tmp_path: Path) -> None:
    result = simulate(load_policy(POLICY), TABLE, NOW, by="source")
    result.write(tmp_path / "out.parquet")
    stored = pq.read_table(tmp_path / "out.parquet")
    decisions = result.decisions
    assert stored["verdict"].to_pylist() == [
        decisions.distinct[code].verdict for code in decisions.code
    ]
    assert stored["rules"].to_pylist()[4:8] == ["gpl", "opted-out", "gpl", ""]
    assert stored["source"].to_pylist() == TABLE["source"].to_pylist()
    assert stored.schema.metadata[b"policy_digest"].decode() == decisions.policy.digest


def test_simulate_refuses_a_column_that_is_not_there() -> None:
    policy = load_policy(POLICY)
    with pytest.raises(PolicyError, match="P151"):
        simulate(policy, TABLE.drop_columns(["opted_out"]), NOW)
    with pytest.raises(PolicyError, match="P151"):
        simulate(policy, TABLE, NOW, by="sauce")
    absent = simulate(policy, TABLE.drop_columns(["opted_out"]), NOW, allow_missing=True)
    assert absent.absent == ("opted_out",)
    assert absent.by_verdict()["admit"] == 0


def test_simulate_an_empty_table() -> None:
    result = simulate(load_policy(POLICY), TABLE.slice(0, 0), NOW, by="source")
    assert result.by_verdict() == {"deny": 0, "quarantine": 0, "defer": 0, "admit": 0}
    assert result.by_reason() == result.by_group() == result.by_profile() == []
    assert result.table().num_rows == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules, rules, st.lists(records, min_size=1, max_size=6))
def test_diff_agrees_with_two_decisions(old_rules, new_rules, examples) -> None:
    old, new = load_policy(document(old_rules)), load_policy(document(new_rules))
    table = {name: [example[name] for example in examples] for name in examples[0]}
    table = {name: pa.array(values, _type(name)) for name, values in table.items()}
    result = diff(old, new, table, NOW, num_listed=10)
    before, after = decide(old, table, NOW), decide(new, table, NOW)
    outcomes = [
        tuple(decided.outcome(decided.code[row]) for decided in (before, after))
        for row in range(len(examples))
    ]
    changed = [row for row, (one, other) in enumerate(outcomes) if one != other]
    assert sorted(row for entry in result.transitions for row in entry.rows) == changed
    assert result.num_changed == len(changed)
    assert result.same == (not changed)
    for entry in result.transitions:
        for row in entry.rows:
            assert (entry.old, entry.new) == outcomes[row]
    assert result.verdict_matrix.sum() == len(examples)


def _type(name: str) -> pa.DataType:
    return {"n": pa.int64(), "x": pa.float64(), "b": pa.bool_()}.get(name, pa.string())


def test_diff_of_a_policy_with_itself_is_empty() -> None:
    policy = load_policy(POLICY)
    result = diff(policy, load_policy(POLICY.replace('version: "1"', 'version: "2"')), TABLE, NOW)
    assert result.same
    assert result.redefined == ()


def test_diff_sees_profiles_that_keep_their_name() -> None:
    new = load_policy(POLICY.replace("default: 0.5", "default: 0.25"))
    result = diff(load_policy(POLICY), new, TABLE, NOW)
    assert result.redefined == ("half", "least")
    assert {(e.old[2], e.changed, e.num_examples) for e in result.transitions} == {
        ("half", ("profile",), 1), ("least", ("profile",), 1),
    }  # fmt: skip


def test_diff_names_the_rules_on_both_sides() -> None:
    new = load_policy(POLICY.replace("effect: defer", "effect: deny"))
    (entry,) = [
        e
        for e in diff(load_policy(POLICY), new, TABLE, NOW).transitions
        if e.num_examples == 1 and e.old[0] == "defer"
    ]
    assert (entry.old_rules, entry.new_rules, entry.rows) == (("gpl",), ("gpl",), (4,))
    assert entry.new[0] == "deny"


def test_explain_says_why_in_words() -> None:
    policy = load_policy(POLICY)
    found = explain(policy, {"license": "MIT", "density": 3, "colour": "red"}, NOW)
    assert found.decision.verdict == "quarantine"
    by_id = {rule.id: rule for rule in found.rules}
    assert (by_id["opted-out"].truth, by_id["opted-out"].why) == ("unknown", "opted_out is missing")
    assert by_id["opted-out"].determining
    assert by_id["open"].why == "license = 'MIT'"
    assert "overrides open (admit)" in found.precedence
    assert found.ignored == ("colour",)
    text = str(found)
    for piece in (
        "quarantined at 2026-01-31T00:00:00+00:00 by policy test.tools, version 1",
        "rule opted-out (deny) is unknown: opted_out is missing, and the outcome rests on it",
        "class mit: the first class that holds",
        "profile none: what is not admitted acts nowhere",
        "given and not read by the policy: colour",
    ):
        assert piece in text


def test_explain_of_an_unknown_class_and_band() -> None:
    policy = load_policy(POLICY)
    found = explain(policy, {"license": "MIT", "opted_out": False}, NOW)
    assert (found.decision.verdict, found.decision.profile, found.band) == (
        "admit",
        "least",
        "unknown",
    )
    assert "every block gets its smallest weight" in found.profile_words
    blocked = explain(policy, {"opted_out": True}, NOW)
    assert "class mit might come first" in blocked.class_words
    nothing = explain(policy, {"license": "NONE", "opted_out": False, "density": 1.0}, NOW)
    assert "the default is deny" in nothing.precedence
    assert nothing.class_words == "class unknown: no class holds"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rules, records)
def test_explain_decides_as_decide(given_rules, record) -> None:
    policy = load_policy(document(given_rules))
    table = {name: pa.array([value], _type(name)) for name, value in record.items()}
    assert explain(policy, record, NOW).decision == decide(policy, table, NOW).distinct[0]
