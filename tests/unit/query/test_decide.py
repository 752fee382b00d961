"""Why examples were admitted or not."""

from __future__ import annotations

import pytest
from make_preamble import DECISIONS, DIGEST, EXAMPLES
from make_run import Truth

from gradledger.errors import QueryError
from gradledger.query import Records, decide, decisions


@pytest.mark.parametrize("example", range(12))
def test_every_example_has_its_decision_and_every_rule(records: Records, example: int) -> None:
    answer = decide(records, {"example": example})
    verdict, label, profile, reason, rules = DECISIONS[EXAMPLES[example][2]]
    (row,) = answer.rows
    assert (row["verdict"], row["class"], row["profile"], row["reason"]) == (
        verdict, label, profile, reason
    )  # fmt: skip
    assert (row["policy"], row["policy_digest"]) == ("house@1.0.0", DIGEST)
    found = answer.table("rules").records()
    assert [(r["rule"], r["effect"], r["truth"], r["determining"]) for r in found] == list(rules)
    assert [r["example"] for r in answer.table("examples").records()] == [example]


def test_a_filter_gathers_decisions(records: Records) -> None:
    answer = decide(records, {"license": None})
    assert [(row["decision"], row["examples"]) for row in answer.rows] == [(1, 1), (3, 1)]
    assert answer.facts["examples that match"] == 2
    (attribute, *_) = decide(records, {"example": 0}).table("attributes").records()
    assert (attribute["attribute"], attribute["value"]) == ("license", "MIT")


def test_the_summary_counts_examples_and_visits_refused_first(
    truth: Truth, records: Records
) -> None:
    rows = decisions(records).rows
    assert [row["verdict"] for row in rows] == ["deny", "quarantine", "admit", "admit"]
    assert [row["examples"] for row in rows] == [1, 1, 7, 3]
    shallow = sum(EXAMPLES[example][2] == 1 for example in truth.example.values())
    assert [row["visits"] for row in rows] == [0, 0, len(truth.example) - shallow, shallow]
    assert sum(row["examples"] for row in rows) == len(EXAMPLES)


@pytest.mark.parametrize("value", [99, "no/such/file.py", "", "\0", "99999999999999999999"])
def test_unknown_examples_are_errors(records: Records, value: object) -> None:
    with pytest.raises(QueryError, match="Q108"):
        decide(records, {"example": value})


def test_each_reason_is_told_once_in_full(records: Records) -> None:
    answer = decisions(records)
    rows = answer.table("reasons").records()
    assert len({(row["verdict"], row["rule"], row["reason"]) for row in rows}) == len(rows)
    assert {row["verdict"] for row in rows} == {"deny", "quarantine", "admit"}
    shown = " ".join(str(answer).split())
    for row in rows:
        assert " ".join(row["reason"].split()) in shown
