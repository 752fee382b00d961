"""Policy: why an example was admitted or not, and what was refused on which grounds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.records import Records
from gradledger.query.relations import quote
from gradledger.query.selection import (
    conditions,
    matching_examples,
    preferred_metadata,
    visits_of,
    words,
)
from gradledger.schema import VERDICTS

#: Decisions shown in full, and examples listed, before an answer is cut.
_MAX_DECISIONS = 20
_MAX_EXAMPLES = 20


def decide(records: Records, where: Mapping[str, Any]) -> Answer:
    """Return the decisions on the examples that match, each with the truth of every rule.

    Args:
        records: The run.
        where: Filters that must all hold; see ``follow``.

    Returns:
        Tables ``decisions``, ``rules``, ``attributes`` and ``examples``.

    Raises:
        QueryError: Q105 column, Q108 nothing matches.
    """
    count = matching_examples(records, where)
    sql, values = conditions(records, where, "x")
    grouped = records.ask(
        f"SELECT x.decision, count(*) FROM examples x WHERE {sql} GROUP BY 1 ORDER BY 2 DESC, 1",
        values,
    )
    shown = {int(row[0]): int(row[1]) for row in grouped[:_MAX_DECISIONS]}
    notes = ["a verdict is the strongest of the rules that are true; unknown never admits"]
    if len(grouped) > _MAX_DECISIONS:
        notes.append(f"{len(grouped) - _MAX_DECISIONS} further decisions are not shown")
    if count > _MAX_EXAMPLES:
        notes.append(f"{count - _MAX_EXAMPLES} further examples are not listed")
    decided = _decided(records, shown)
    columns = {
        name: sorted({str(row[name]) for row in decided.records()})
        for name in ("decided_at", "policy_digest")
    }
    return Answer(
        question="decide",
        title=f"Decide: why {words(where)} was admitted or not",
        kind="accounting",
        facts={
            "examples that match": count,
            "distinct decisions": len(grouped),
            "decided at": columns["decided_at"],
            "policy digest": columns["policy_digest"],
        },
        tables=(
            decided,
            _rules(records, shown),
            _attributes(records, shown),
            _examples(records, sql, values),
        ),
        notes=tuple(notes),
    )


def decisions(records: Records) -> Answer:
    """Return how many examples got each verdict, class and reason, refused ones first."""
    rows = records.ask(
        """
        SELECT d.verdict, d."class", d.profile, d.policy_id || '@' || d.policy_version,
               coalesce(sum(e.examples), 0)::BIGINT, coalesce(sum(v.visits), 0)::BIGINT, d.reason,
               t.rules
        FROM decisions d
        LEFT JOIN (SELECT decision, string_agg(rule, ', ' ORDER BY rule) AS rules
                   FROM truths WHERE determining GROUP BY 1) t USING (decision)
        LEFT JOIN (SELECT decision, count(*) AS examples FROM examples GROUP BY 1) e
            USING (decision)
        LEFT JOIN (SELECT decision, count(*) AS visits FROM visits GROUP BY 1) v
            USING (decision)
        GROUP BY 1, 2, 3, 4, 7, 8 ORDER BY 5 DESC, 2, 3, 4, 7
        """
    )
    rows.sort(key=lambda row: VERDICTS.index(row[0]) if row[0] in VERDICTS else len(VERDICTS))
    columns = (
        Column("verdict", "verdict"),
        Column("class", "class"),
        Column("profile", "profile"),
        # One policy for all rows is told once, among the facts.
        Column("policy", "policy", in_text=len({row[3] for row in rows}) > 1),
        Column("examples", "examples", "integer"),
        Column("visits", "visits", "integer"),
        Column("reason", "reason", in_text=False),
        Column("rules", "rests on"),
    )
    astray = sum(row[5] for row in rows if row[0] != "admit")
    notes = ["refused first; one row per verdict, class, profile, policy and reason"]
    if astray:
        notes.append(f"{astray} visits rest on decisions that did not admit")
    totals = dict(
        records.ask(
            "SELECT d.verdict, count(*) FROM examples e JOIN decisions d USING (decision) "
            "GROUP BY 1 ORDER BY 1"
        )
    )
    return Answer(
        question="decisions",
        title="Decisions: what was admitted, what was refused and why",
        kind="accounting",
        facts={"examples": totals, "policy": records.begin.policy or "none"},
        tables=(Table("decisions", "By verdict", columns, tuple(rows)), _reasons(rows)),
        notes=tuple(notes),
    )


def _reasons(rows: Sequence[Sequence[Any]]) -> Table:
    """Tell each reason once, in full: a column of them would be cut on a page."""
    counts: dict[tuple[str, str, str], int] = {}
    for verdict, *_, examples, _, reason, _ in rows:
        for part in re.split("; (?=rule )", str(reason)):
            named = re.match(r"rule ([^\s:]+):? (.*)", part)
            key = (verdict, *named.groups()) if named else (verdict, "", part)
            counts[key] = counts.get(key, 0) + examples
    columns = (
        Column("verdict", "verdict"),
        Column("rule", "rule"),
        Column("examples", "examples", "integer"),
        Column("reason", "reason", wraps=True),
    )
    cells = tuple((verdict, rule, n, why) for (verdict, rule, why), n in counts.items())
    return Table("reasons", "Why", columns, cells)


def _decided(records: Records, shown: Mapping[int, int]) -> Table:
    rows = records.ask(
        "SELECT decision, verdict, \"class\", profile, policy_id || '@' || policy_version, "
        f"policy_digest, decided_at, reason FROM decisions WHERE decision IN ({_list(shown)})"
    )
    found = {int(row[0]): row for row in rows}
    columns = (
        Column("decision", "decision", "integer"),
        Column("verdict", "verdict"),
        Column("class", "class"),
        Column("profile", "profile"),
        Column("policy", "policy"),
        Column("examples", "examples", "integer"),
        Column("reason", "reason"),
        Column("decided_at", "decided at", in_text=False),
        Column("policy_digest", "policy digest", in_text=False),
    )
    cells = []
    for number, count in shown.items():
        _, *parts = found.get(number, (number, *[None] * 7))
        verdict, label, profile, policy, digest, moment, reason = parts
        cells.append((number, verdict, label, profile, policy, count, reason, moment, digest))
    return Table("decisions", "Decisions", columns, tuple(cells))


def _rules(records: Records, shown: Mapping[int, int]) -> Table:
    # Rules keep the order of the policy, which is the order in which they were written.
    rows = records.ask(
        "SELECT decision, rule, effect, truth, determining FROM truths "
        f"WHERE decision IN ({_list(shown)})"
    )
    order = {number: place for place, number in enumerate(shown)}
    rows.sort(key=lambda row: order[row[0]])
    columns = (
        Column("decision", "decision", "integer"),
        Column("rule", "rule"),
        Column("effect", "effect if true"),
        Column("truth", "truth"),
        Column("determining", "verdict rests on it", "flag"),
    )
    return Table("rules", "Truth of every rule", columns, tuple(rows))


def _attributes(records: Records, shown: Mapping[int, int]) -> Table:
    found = dict(
        records.ask(
            f"SELECT decision, attributes FROM decisions WHERE decision IN ({_list(shown)})"
        )
    )
    rows = []
    for number in shown:
        for name, value in _parsed(found.get(number)).items():
            rows.append((number, name, None if value is None else str(value)))
    columns = (
        Column("decision", "decision", "integer"),
        Column("attribute", "attribute"),
        Column("value", "value that the policy saw"),
    )
    return Table("attributes", "Attributes", columns, tuple(rows))


def _parsed(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        return {"(not JSON)": text}
    return value if isinstance(value, dict) else {"(not a mapping)": value}


def _examples(records: Records, sql: str, values: list[Any]) -> Table:
    names = preferred_metadata(records)
    fields = "".join(f", x.{quote(name)}" for name in names)
    rows = records.ask(
        f"SELECT x.example, x.example_id, x.decision, d.verdict{fields} "
        f"FROM (SELECT * FROM examples x WHERE {sql} ORDER BY example LIMIT {_MAX_EXAMPLES}) x "
        "LEFT JOIN decisions d USING (decision) ORDER BY x.example",
        values,
    )
    columns = (
        Column("example", "example", "integer"),
        Column("example_id", "id"),
        Column("decision", "decision", "integer"),
        Column("verdict", "verdict"),
        *(Column(name, name) for name in names),
        Column("visits", "visits", "integer"),
    )
    counts = visits_of(records, [row[0] for row in rows])
    counted = tuple((*row, counts.get(row[0], 0)) for row in rows)
    return Table("examples", "Examples", columns, counted)


def _list(shown: Mapping[int, int]) -> str:
    return ", ".join(str(number) for number in shown) or "NULL"
