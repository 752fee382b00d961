"""What a receipt is about, and whether its rows are those that such a receipt must hold.

What can be proved of completeness is little: a log commits to rows, not to answers. Rows that were
left out are found only where another proved row says how many there are, as that of a step does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gradledger.canon import text_digest
from gradledger.schema import Leaf, PolicyLeaf, SegmentLeaf, StateLeaf

#: Kind of subject -> its further members.
SUBJECTS: Final[dict[str, tuple[str, ...]]] = {
    "decision": ("decision",),
    "examples": ("examples",),
    "state": ("step",),
    "step": ("step",),
    "visit": ("micro_batch", "position", "step"),
}

EXAMPLES: Final = "decisions/examples"
DISTINCT: Final = "decisions/distinct"
TRUTHS: Final = "decisions/truths"

#: Kind of subject -> tables that its rows may come from.
_TABLES: Final[dict[str, frozenset[str]]] = {
    "decision": frozenset({DISTINCT, TRUTHS}),
    "examples": frozenset({DISTINCT, EXAMPLES, TRUTHS, "visits"}),
    "state": frozenset(),
    "step": frozenset({"books", "steps", "visits"}),
    "visit": frozenset({"visits"}),
}

#: Table and values of a row.
TableRow = tuple[str, Mapping[str, Any]]


def subject_objections(
    subject: Mapping[str, Any], rows: Sequence[TableRow], leaves: Sequence[Leaf]
) -> list[str]:
    """Return why rows and leaves are not those of a subject; empty where they are.

    Args:
        subject: Member ``kind``, a key of ``SUBJECTS``, and what that kind has.
        rows: Table and values of every row; texts as their digests.
        leaves: All leaves of the receipt.
    """
    if not is_subject(subject):
        return ["a subject of no known kind, or without its numbers"]
    kind = subject["kind"]
    strange = sorted({table for table, _ in rows} - _TABLES[kind])
    if strange:
        return [f"rows of {strange[0]}, which a subject of kind {kind} does not have"]
    checks = {
        "decision": _of_decisions,
        "examples": _of_examples,
        "state": _of_state,
        "step": _of_step,
        "visit": _of_visit,
    }
    return [*checks[kind](subject, rows, leaves), *_of_leaves(kind, rows, leaves)]


def is_subject(subject: Mapping[str, Any]) -> bool:
    """Whether an object from a stranger names a subject: a known kind, and its numbers."""
    kind = subject.get("kind")
    if not isinstance(kind, str) or set(subject) != {"kind", *SUBJECTS.get(kind, ("?",))}:
        return False
    return _numbers(subject)


def _numbers(subject: Mapping[str, Any]) -> bool:
    """Whether all members but the kind are whole numbers, or an ascending list of them."""
    for name, value in subject.items():
        listed = value if name == "examples" and isinstance(value, list) and value else [value]
        if name == "kind":
            continue
        if any(type(item) is not int or item < 0 for item in listed):
            return False
        if name == "examples" and (listed is not value or sorted(set(listed)) != listed):
            return False
    return True


def _of_visit(
    subject: Mapping[str, Any], rows: Sequence[TableRow], _: Sequence[Leaf]
) -> Iterator[str]:
    if len(rows) != 1:
        yield f"{len(rows)} rows for one visit"
    for _table, row in rows:
        for name in SUBJECTS["visit"]:
            if row.get(name) != subject[name]:
                yield f"{name} {row.get(name)} in place of {subject[name]}"


def _of_step(
    subject: Mapping[str, Any], rows: Sequence[TableRow], _: Sequence[Leaf]
) -> Iterator[str]:
    if any(row.get("step") != subject["step"] for _table, row in rows):
        yield "a row of another step"
    steps = [row for table, row in rows if table == "steps"]
    if len(steps) != 1:
        yield f"{len(steps)} rows of the table of steps"
        return
    seen = {
        (row.get("micro_batch"), row.get("position")) for table, row in rows if table == "visits"
    }
    if len(seen) != steps[0].get("visits"):
        yield f"{len(seen)} visits, where the step has {steps[0].get('visits')}"


def _of_decisions(
    subject: Mapping[str, Any], rows: Sequence[TableRow], _: Sequence[Leaf]
) -> Iterator[str]:
    yield from _decisions_are(rows, {subject["decision"]})


def _of_examples(
    subject: Mapping[str, Any], rows: Sequence[TableRow], _: Sequence[Leaf]
) -> Iterator[str]:
    numbers = [row.get("example") for table, row in rows if table == EXAMPLES]
    if sorted(numbers, key=str) != sorted(subject["examples"], key=str):
        yield "other examples than the subject names"
    wanted = set(subject["examples"])
    if any(row.get("example") not in wanted for table, row in rows if table == "visits"):
        yield "a visit of another example"
    visits_and_examples = [row for table, row in rows if table in {EXAMPLES, "visits"}]
    yield from _decisions_are(rows, {row.get("decision") for row in visits_and_examples})


def _decisions_are(rows: Sequence[TableRow], wanted: set[Any]) -> Iterator[str]:
    found = Counter(row.get("decision") for table, row in rows if table == DISTINCT)
    if found != Counter(dict.fromkeys(wanted, 1)):
        yield "other decisions than the rows name"
    if any(row.get("decision") not in wanted for table, row in rows if table == TRUTHS):
        yield "the truth of a rule for another decision"


def _of_state(
    subject: Mapping[str, Any], rows: Sequence[TableRow], leaves: Sequence[Leaf]
) -> Iterator[str]:
    del rows
    steps = [leaf.step for leaf in leaves if isinstance(leaf, StateLeaf)]
    if steps != [subject["step"]]:
        yield f"states after the steps {steps}"


def _of_leaves(kind: str, rows: Sequence[TableRow], leaves: Sequence[Leaf]) -> Iterator[str]:
    digests = {row.get("policy_digest") for table, row in rows if table == DISTINCT}
    for leaf in leaves:
        if isinstance(leaf, SegmentLeaf):
            continue
        if isinstance(leaf, PolicyLeaf):
            if text_digest(leaf.policy_sha256) not in digests:
                yield f"the policy {leaf.policy_id}, which no decision names"
        elif kind != "state" or not isinstance(leaf, StateLeaf):
            yield f"a leaf of kind {leaf.kind}"
