"""``policy explain``: one example in plain words, from a record or from a run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.policy import Explanation, Policy, explain, load_policy, read_record
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.policy_simulate import FUNCTIONS
from gradledger.query.records import Records, open_records
from gradledger.query.selection import conditions, matching_examples

_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class _Recorded:
    """An example as a run has it."""

    example: int
    attributes: dict[str, Any]
    decided_at: datetime
    digest: str
    outcome: tuple[str, str, str]
    truths: dict[str, str]


def explain_record(policy: str | Path, record: str | Path, now: datetime) -> Answer:
    """Decide one example and say why.

    Args:
        policy: The document.
        record: JSON object of attributes.
        now: Moment of decision, with a time zone.

    Raises:
        PolicyError: The policy cannot be read, or the record does not fit it.
        StorageError: S113 the record cannot be read.
        InputError: I122 the record is not JSON.
    """
    found = explain(load_policy(Path(policy)), read_record(record), now, FUNCTIONS)
    return _answer(found, f"Explain: {Path(record).name}", {}, ())


def explain_example(
    run: str | Path, example: int | str, *, policy: str | Path | None = None
) -> Answer:
    """Say why an example of a run was decided as it was; the decision is taken again.

    Args:
        run: Directory of the run.
        example: Number, id, or value of a metadata column that names examples.
        policy: Another policy to ask about the same attributes at the same moment.

    Returns:
        One finding where the policy that was in force decides otherwise now than recorded.

    Raises:
        QueryError: Q101 to Q103 the run, Q108 no such example, or none that a policy decided.
        PolicyError: The policy cannot be read, or the attributes do not fit it.
    """
    records = open_records(run)
    try:
        recorded = _recorded(records, example)
    finally:
        records.close()
    loaded = load_policy(
        Path(policy) if policy else records.path / "policies" / f"{recorded.digest}.yaml"
    )
    found = explain(loaded, recorded.attributes, recorded.decided_at, FUNCTIONS)
    is_other = policy is not None and loaded.digest != recorded.digest
    differences = [] if is_other else _differences(loaded, recorded, found)
    notes = (
        "attributes and moment are those of the record; the policy is another one"
        if is_other
        else "decided again from the recorded attributes: "
        + ("; ".join(differences) or "verdict, class, profile and every rule as recorded"),
    )
    title = f"Explain: example {recorded.example} of {records.path.name}"
    facts = {"recorded": ", ".join(recorded.outcome)}
    return _answer(found, title, facts, notes, findings=len(differences))


def _recorded(records: Records, example: int | str) -> _Recorded:
    where = {"example": example}
    matching_examples(records, where)
    sql, values = conditions(records, where, "x")
    row = records.ask(
        "SELECT x.example, d.decision, d.attributes, d.decided_at, d.policy_digest, d.verdict, "
        f'd."class", d.profile FROM examples x JOIN decisions d USING (decision) WHERE {sql} '
        "ORDER BY x.example LIMIT 1",
        values,
    )
    if not row or not _DIGEST.match(str(row[0][4])):
        raise QueryError(
            "Q108",
            observed=f"example {example} without a decision by a policy",
            expected="an example that a policy decided",
            where=str(records.path),
            hint="record with a policy: gl.record(..., policy=...)",
        )
    number, decision, attributes, moment, digest, *outcome = row[0]
    truths = records.ask("SELECT rule, truth FROM truths WHERE decision = ?", [decision])
    try:
        parsed, decided_at = json.loads(attributes), datetime.fromisoformat(moment)
    except (TypeError, ValueError) as error:
        raise QueryError(
            "Q102",
            observed=str(error)[:300],
            expected="attributes as JSON and a moment of ISO 8601",
            where=f"{records.path}, decision {decision}",
            hint="restore the run from a copy",
        ) from error
    return _Recorded(
        int(number), parsed, decided_at, digest, (outcome[0], outcome[1], outcome[2]), dict(truths)
    )


def _differences(policy: Policy, recorded: _Recorded, found: Explanation) -> list[str]:
    decision = found.decision
    now = (decision.verdict, decision.content_class, decision.profile)
    differences = [
        f"{name} is {new}, recorded is {old}"
        for name, new, old in zip(
            ("verdict", "class", "profile"), now, recorded.outcome, strict=True
        )
        if new != old
    ]
    differences += [
        f"rule {truth.rule} is {truth.truth}, recorded is {recorded.truths.get(truth.rule)}"
        for truth in decision.truths
        if recorded.truths.get(truth.rule) != truth.truth
    ]
    if policy.digest != recorded.digest:
        differences.append(f"the stored policy has digest {policy.digest}, not {recorded.digest}")
    return differences


def _answer(
    found: Explanation,
    title: str,
    facts: dict[str, Any],
    notes: tuple[str, ...],
    findings: int = 0,
) -> Answer:
    decision = found.decision
    return Answer(
        question="policy explain",
        title=f"{title}: {decision.verdict} by {decision.policy_id}@{decision.policy_version}",
        kind="accounting",
        facts={
            "verdict": decision.verdict,
            "reason": decision.reason,
            "class": decision.content_class,
            **({"band": found.band} if found.band else {}),
            "profile": decision.profile,
            "decided at": decision.decided_at,
            **facts,
        },
        tables=(
            _reasons("rules", "Rules", found),
            _reasons("classes", "Classes, in the order in which they are tried", found),
            _attributes(found),
        ),
        notes=(
            found.precedence,
            found.class_words,
            found.profile_words,
            *(
                (f"given and not read by the policy: {', '.join(found.ignored)}",)
                if found.ignored
                else ()
            ),
            *notes,
        ),
        findings=findings,
    )


def _reasons(name: str, title: str, found: Explanation) -> Table:
    is_rules = name == "rules"
    columns = (
        Column("rule" if is_rules else "class", "rule" if is_rules else "class"),
        *((Column("effect", "effect if true"),) if is_rules else ()),
        Column("truth", "truth"),
        Column("determining", "rests on it", "flag"),
        Column("why", "why", wraps=True),
        Column("when", "when", in_text=False),
        Column("message", "message", in_text=False),
    )
    rows = tuple(
        (
            entry.id,
            *((entry.effect,) if is_rules else ()),
            entry.truth,
            entry.determining,
            entry.why,
            entry.text,
            entry.message,
        )
        for entry in (found.rules if is_rules else found.classes)
    )
    return Table(name, title, columns, rows)


def _attributes(found: Explanation) -> Table:
    columns = (
        Column("attribute", "attribute"),
        Column("value", "value that the policy saw", wraps=True),
        Column("missing", "missing", "flag"),
    )
    rows = tuple(
        (name, None if value is None else str(value), value is None)
        for name, value in found.decision.attributes.items()
    )
    return Table("attributes", "Attributes", columns, rows)
