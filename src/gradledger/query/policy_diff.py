"""``policy diff``: which examples change between two versions of a policy, and by which rule."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from gradledger.policy import PolicyDiff, diff, load_policy, read_metadata
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.policy_simulate import FUNCTIONS
from gradledger.schema import VERDICTS

#: Examples that are listed of every way to change.
_LISTED = 3


def diff_policies(
    old: str | Path,
    new: str | Path,
    table: str | Path,
    now: datetime,
    *,
    allow_missing: bool = False,
) -> Answer:
    """Decide a metadata table by two policies.

    Args:
        old: The document in force.
        new: The document that may replace it.
        table: Parquet, CSV or JSON lines, one row per example.
        now: Moment of decision for both, with a time zone.
        allow_missing: Take attributes that the table lacks as missing in every row.

    Returns:
        As many findings as ways in which examples change; tables ``verdicts`` (old in rows, new in
        columns), ``transitions`` and ``examples``.

    Raises:
        PolicyError: A policy cannot be read, or the table does not fit it.
        StorageError: The table cannot be read.
    """
    before, after = load_policy(Path(old)), load_policy(Path(new))
    metadata = read_metadata(table, [before, after])
    result = diff(
        before, after, metadata, now, FUNCTIONS, allow_missing=allow_missing, num_listed=_LISTED
    )
    return _answer(result, str(table))


def _answer(result: PolicyDiff, table: str) -> Answer:
    old, new = result.old.policy, result.new.policy
    notes = ["rules are those on which the verdict rests; none means denied by default"]
    if result.redefined:
        names = ", ".join(result.redefined)
        notes.append(f"same name, other weights, so examples under it count as changed: {names}")
    return Answer(
        question="policy diff",
        title=f"Diff: {old.id}@{old.version} to {new.id}@{new.version} on {Path(table).name}",
        kind="accounting",
        facts={
            "examples": result.num_examples,
            "changed": result.num_changed,
            "decided at": result.old.decided_at,
            "old digest": old.digest,
            "new digest": new.digest,
        },
        tables=(_matrix(result), _transitions(result), _examples(result)),
        notes=tuple(notes),
        findings=len(result.transitions),
    )


def _matrix(result: PolicyDiff) -> Table:
    columns = (
        Column("old", "old verdict"),
        *(Column(verdict, f"new {verdict}", "integer") for verdict in VERDICTS),
    )
    rows = tuple(
        (verdict, *counts)
        for verdict, counts in zip(VERDICTS, result.verdict_matrix.tolist(), strict=True)
    )
    return Table("verdicts", "Examples by old and new verdict", columns, rows)


def _transitions(result: PolicyDiff) -> Table:
    columns = (
        Column("change", "change", "integer"),
        Column("examples", "examples", "integer"),
        Column("changed", "what changes", wraps=True),
        Column("old", "old verdict, class, profile", wraps=True),
        Column("old_rules", "rests on", wraps=True),
        Column("new", "new verdict, class, profile", wraps=True),
        Column("new_rules", "rests on", wraps=True),
    )
    rows = tuple(
        (
            place + 1,
            entry.num_examples,
            ", ".join(entry.changed),
            ", ".join(entry.old),
            ", ".join(entry.old_rules) or "default",
            ", ".join(entry.new),
            ", ".join(entry.new_rules) or "default",
        )
        for place, entry in enumerate(result.transitions)
    )
    return Table("transitions", "Ways to change", columns, rows)


def _examples(result: PolicyDiff) -> Table:
    columns = (
        Column("change", "change", "integer"),
        Column("row", "row", "integer"),
        Column("attributes", "attributes", wraps=True),
        Column("old_reason", "old reason", wraps=True),
        Column("new_reason", "new reason", wraps=True),
    )
    rows = []
    for place, entry in enumerate(result.transitions):
        for row, before, after in result.examples(entry):
            values = {**before.attributes, **after.attributes}
            said = ", ".join(
                f"{name} {'missing' if value is None else value}" for name, value in values.items()
            )
            rows.append((place + 1, row, said, before.reason, after.reason))
    return Table("examples", "Examples of each, by row of the table", columns, tuple(rows))
