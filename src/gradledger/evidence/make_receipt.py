"""Make receipts: find the rows of a subject and prove them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradledger.errors import QueryError
from gradledger.evidence.logged import LoggedRun
from gradledger.evidence.receipt import EvidenceReceipt
from gradledger.query import Records, decisions_on, places, policy_digests
from gradledger.schema import PolicyLeaf, StateLeaf

Places = list[tuple[str, int]]


def visit_receipt(
    records: Records, step: int, micro_batch: int, position: int, hide: Sequence[str] = ()
) -> EvidenceReceipt:
    """Return the receipt of one visit.

    Raises:
        QueryError: There is no such visit. Code Q108.
        LogError: It cannot be proved (L132, L181).
    """
    subject = {"kind": "visit", "step": step, "micro_batch": micro_batch, "position": position}
    place = {"step": [step], "micro_batch": [micro_batch], "position": [position]}
    found = places(records, "visits", place)
    _need(found, f"no visit {step}:{micro_batch}:{position}", "a visit of the run")
    return _receipt(records, subject, found, hide)


def examples_receipt(
    records: Records, examples: Sequence[int], hide: Sequence[str] = ()
) -> EvidenceReceipt:
    """Return the receipt of examples: their rows, all their visits, and the decisions on them.

    Raises:
        QueryError: An example is not there. Code Q108.
        LogError: A row cannot be proved (L132, L181).
    """
    numbers = sorted(set(examples))
    rows = places(records, "examples", {"example": numbers})
    if len(rows) != len(numbers) or not numbers:
        _need([], f"{len(rows)} rows for {len(numbers)} examples", "one row for each example")
    decisions = decisions_on(records, numbers)
    found = [
        *rows,
        *places(records, "visits", {"example": numbers}),
        *_decision_places(records, decisions),
    ]
    subject = {"kind": "examples", "examples": numbers}
    return _receipt(records, subject, found, hide, decisions)


def decision_receipt(records: Records, decision: int, hide: Sequence[str] = ()) -> EvidenceReceipt:
    """Return the receipt of a decision: its row and the truth of every rule.

    Raises:
        QueryError: There is no such decision. Code Q108.
        LogError: A row cannot be proved (L132, L181).
    """
    found = _decision_places(records, [decision])
    _need(found, f"no decision {decision}", "a decision of the run")
    subject = {"kind": "decision", "decision": decision}
    return _receipt(records, subject, found, hide, [decision])


def step_receipt(records: Records, step: int, hide: Sequence[str] = ()) -> EvidenceReceipt:
    """Return the receipt of a step: its row, its books and its visits.

    Raises:
        QueryError: There is no such step. Code Q108.
        LogError: A row cannot be proved (L132, L181).
    """
    found = [
        place
        for relation in ("steps", "books", "visits")
        for place in places(records, relation, {"step": [step]})
    ]
    _need(found, f"no step {step}", "a step of the run")
    return _receipt(records, {"kind": "step", "step": step}, found, hide)


def state_receipt(records: Records, step: int) -> EvidenceReceipt:
    """Return the receipt of a stored model state: its leaf names the digest of every file.

    Raises:
        QueryError: The log has no such state. Code Q108.
        LogError: It cannot be proved (L132).
    """
    logged = LoggedRun(records.path)
    indices = [index for index, leaf in logged.of_kind(StateLeaf) if leaf.step == step]
    _need(indices, f"no state after step {step}", "a state in the log")
    leaves, _ = logged.prove([], indices[-1:], hide=frozenset())
    return _made(records, logged, {"kind": "state", "step": step}, leaves, ())


def _receipt(
    records: Records,
    subject: dict[str, Any],
    found: Places,
    hide: Sequence[str],
    decisions: Sequence[int] = (),
) -> EvidenceReceipt:
    logged = LoggedRun(records.path)
    digests = policy_digests(records, decisions)
    policies = {
        leaf.policy_sha256: index
        for index, leaf in logged.of_kind(PolicyLeaf)
        if leaf.policy_sha256 in digests
    }
    leaves, rows = logged.prove(found, list(policies.values()), hide=frozenset(hide))
    return _made(records, logged, subject, leaves, rows)


def _made(
    records: Records, logged: LoggedRun, subject: dict[str, Any], leaves: Any, rows: Any
) -> EvidenceReceipt:
    keys = logged.reader.description.keys
    return EvidenceReceipt(records.begin.run_id, subject, keys, leaves, rows)


def _decision_places(records: Records, decisions: Sequence[int]) -> Places:
    return [
        place
        for relation in ("decisions", "truths")
        for place in places(records, relation, {"decision": decisions})
    ]


def _need(found: Sequence[Any], observed: str, expected: str) -> None:
    if not found:
        raise QueryError("Q108", observed=observed, expected=expected, where="receipt")
