"""``policy simulate``: what a policy would decide about a table, in counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gradledger.policy import EvidenceFunction, Simulation, load_policy, read_metadata, simulate
from gradledger.query.answer import Answer, Column, Table
from gradledger.rights import satisfies
from gradledger.schema import VERDICTS

#: Evidence functions that policies may call, as a run gives them.
FUNCTIONS: Final[dict[str, EvidenceFunction]] = {"spdx_satisfies": satisfies}

_MISSING: Final = (
    "missing: undecided counts verdicts that rest on a rule that is unknown for want of the "
    "attribute; unclassified counts classes or bands that are not known for want of it"
)


def simulate_policy(
    policy: str | Path,
    table: str | Path,
    now: datetime,
    *,
    by: str = "",
    allow_missing: bool = False,
    out: str | Path | None = None,
) -> Answer:
    """Decide a metadata table and count.

    Args:
        policy: The document.
        table: Parquet, CSV or JSON lines, one row per example.
        now: Moment of decision, with a time zone.
        by: Column to count by as well.
        allow_missing: Take attributes that the table lacks as missing in every row.
        out: Where to write one row per example, as Parquet.

    Returns:
        Tables ``verdicts``, ``classes``, ``bands``, ``profiles``, ``rules``, ``reasons``,
        ``missing`` and, where asked for, ``groups``.

    Raises:
        PolicyError: The policy cannot be read, or the table does not fit it.
        StorageError: The table cannot be read, or the decisions cannot be written.
    """
    loaded = load_policy(Path(policy))
    metadata = read_metadata(table, [loaded], [by] if by else [])
    result = simulate(loaded, metadata, now, FUNCTIONS, by=by, allow_missing=allow_missing)
    if out is not None:
        result.write(out)
    return _answer(result, str(table), out)


def _answer(result: Simulation, table: str, out: str | Path | None) -> Answer:
    policy = result.decisions.policy
    notes = [_MISSING]
    if result.absent:
        notes.append(f"not in the table, so missing in every row: {', '.join(result.absent)}")
    if out is not None:
        notes.append(f"one row per example in {out}")
    return Answer(
        question="policy simulate",
        title=f"Simulate: {policy.id}@{policy.version} on {Path(table).name}",
        kind="accounting",
        facts={
            "examples": result.num_examples,
            "distinct decisions": len(result.decisions),
            "decided at": result.decisions.decided_at,
            "policy digest": policy.digest,
        },
        tables=_tables(result),
        notes=tuple(notes),
    )


def _tables(result: Simulation) -> tuple[Table, ...]:
    whole = result.num_examples
    verdicts = [
        {"verdict": name, "examples": count, "percent": 100 * count / whole if whole else None}
        for name, count in result.by_verdict().items()
    ]
    tables = [
        _table("verdicts", "Verdicts", verdicts, ("verdict", "examples", "percent")),
        _table("classes", "Content classes", result.by_class(), ("class", "examples", *VERDICTS)),
    ]
    if result.decisions.policy.bands is not None:
        tables.append(_table("bands", "Bands", result.by_band(), ("band", "examples", *VERDICTS)))
    tables += [
        _table("profiles", "Admitted, by profile", result.by_profile(), ("profile", "examples")),
        _table(
            "rules",
            "Rules: for how many examples true, unknown, false; how many verdicts rest on them",
            result.by_rule(),
            ("rule", "effect", "true", "unknown", "false", "rests", "alone"),
        ),
        _table("reasons", "Reasons", result.by_reason(), ("verdict", "examples", "reason")),
        _table(
            "missing",
            "Missing attributes, and the verdicts on the examples that lack them",
            result.by_missing(),
            ("attribute", "missing", "undecided", "unclassified", *VERDICTS),
        ),
    ]
    if result.by:
        columns = (result.by, "examples", *VERDICTS)
        tables.append(_table("groups", f"By {result.by}", result.by_group(), columns))
    return tuple(tables)


def _table(name: str, title: str, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> Table:
    words = {"verdict", "class", "band", "profile", "rule", "effect", "reason", "attribute"}
    kinds = {"percent": "number"}
    heads = tuple(
        Column(
            column,
            column,
            "text" if column in words or place == 0 else kinds.get(column, "integer"),
            wraps=column == "reason",
        )
        for place, column in enumerate(columns)
    )
    cells = tuple(tuple(row[column] for column in columns) for row in rows)
    return Table(name, title, heads, cells)
