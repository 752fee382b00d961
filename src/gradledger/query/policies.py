"""Which policy, version and rule admitted what shaped a capability, or parameter groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.capability import SIGN_NOTE
from gradledger.query.measures import MEASURE_WORDS, ValueSql, choose, line_sums, value_sql
from gradledger.query.names import Matched, Span, match_groups, match_steps
from gradledger.query.nats import num_parameter_groups, percent
from gradledger.query.probes import course_of, nats_sql
from gradledger.query.ranking import Ranked, rank_values
from gradledger.query.records import Records
from gradledger.query.selection import CREDIT, Key
from gradledger.query.standing import standing_notes

#: Rules of a run are few; all are asked for.
_ALL: Final = 100_000

_NOT_CAUSAL: Final = (
    "accounting: adds up exactly, but is not a causal effect; another policy would have given "
    "another run, which a replay under that policy shows"
)

_RULE_KEY: Final = Key(
    "rule",
    "{'policy': d.policy_id, 'version': d.policy_version, 'digest': d.policy_digest, "
    "'rule': r.rule}",
    f"LEFT JOIN decisions d USING (decision) LEFT JOIN {CREDIT} r USING (decision)",
    "coalesce(r.credit, 1)",
)


@dataclass(frozen=True)
class _Shaped:
    """What was shaped: the value of a visit, the whole, and how both are called."""

    words: str
    measure: str
    meaning: str
    sql: ValueSql
    whole: float
    header: str


def policies(
    records: Records,
    capability: str | None = None,
    *,
    group: str | Sequence[str] | None = None,
    start: int | None = None,
    stop: int | None = None,
) -> Answer:
    """Return which policy, version and rule admitted what shaped a capability or groups.

    Args:
        records: The run.
        capability: A probe; by default the change of the parameter groups is asked about.
        group: Parameter groups; all by default.
        start: First step, included.
        stop: Last step, included.

    Returns:
        Tables ``rules`` (policy, version and rule, with nats or shares), ``policies`` (the same by
        version) and ``grounds`` (per rule: verdicts it takes part in, classes, profiles).

    Raises:
        QueryError: Q104 group, Q106 steps, Q107 measure not available, Q121 no such probe.
    """
    matched, span = match_groups(records, group), match_steps(records, start, stop)
    shaped, notes = _shaped(records, matched, span, capability)
    ranked = rank_values(records, shaped.sql, _RULE_KEY, _ALL, "size")
    return Answer(
        question="policies",
        title=f"Policies behind {shaped.words}, {span}",
        kind="accounting",
        measure=shaped.measure,
        facts={"measure": shaped.meaning, **_facts(shaped, ranked)},
        tables=(_rules(shaped, ranked), _versions(records, shaped, ranked), _grounds(records)),
        notes=(
            "where a decision rests on several rules, each is credited with an equal part of it",
            *notes,
            _NOT_CAUSAL,
            *standing_notes(records, matched, span),
        ),
    )


def _shaped(
    records: Records, matched: Matched, span: Span, capability: str | None
) -> tuple[_Shaped, list[str]]:
    if capability is not None:
        course = course_of(records, capability, span)
        measured = course.total("measured")
        through = (
            "" if len(matched.groups) == num_parameter_groups(records) else f" through {matched}"
        )
        share = percent(course.total("residual"), measured)
        notes = [SIGN_NOTE]
        if share is not None:
            notes.append(f"curvature residual: {share:.2g} % of the change, owned by no visit")
        shaped = _Shaped(
            f"capability {capability}{through}",
            "nats",
            f"nats of {capability!r}, which changed by {measured:+.6g} nats",
            nats_sql(course, matched),
            measured,
            "nats",
        )
        return shaped, notes
    scope, chosen = choose(records, matched, span, None)
    whole, _ = line_sums(scope)
    shaped = _Shaped(
        str(matched), scope.measure, MEASURE_WORDS[scope.measure], value_sql(scope), whole, "value"
    )
    return shaped, [chosen] if chosen else []


def _facts(shaped: _Shaped, ranked: Ranked) -> dict[str, Any]:
    share = ranked.whole / shaped.whole if shaped.whole else math.nan
    return (
        {"booked to visits": f"{100 * share:.4g} % of the change"} if math.isfinite(share) else {}
    )


def _rules(shaped: _Shaped, ranked: Ranked) -> Table:
    rows = []
    for row in ranked.rows:
        found, value, visits, examples = row[:4]
        share = value / shaped.whole if shaped.whole else None
        figures = (value, share, visits, examples)
        rows.append((found["policy"], found["version"], found["rule"], *figures))
    columns = (
        Column("policy", "policy"),
        Column("version", "version"),
        Column("rule", "rule"),
        Column("value", shaped.header, "share", in_text=shaped.measure == "nats"),
        Column("share", "share of change", "share"),
        Column("visits", "visits", "integer"),
        Column("examples", "examples", "integer"),
    )
    return Table("rules", "By policy, version and rule", columns, tuple(rows))


def _versions(records: Records, shaped: _Shaped, ranked: Ranked) -> Table:
    totals: dict[tuple[str, str, str], float] = {}
    for row in ranked.rows:
        key = (row[0]["policy"], row[0]["version"], row[0]["digest"])
        totals[key] = totals.get(key, 0.0) + row[1]
    decided = {
        (policy, version, digest): (first, last, int(count))
        for policy, version, digest, first, last, count in records.ask(
            "SELECT d.policy_id, d.policy_version, d.policy_digest, min(d.decided_at), "
            "max(d.decided_at), count(e.example) FROM decisions d "
            "LEFT JOIN examples e ON e.decision = d.decision AND d.verdict = 'admit' "
            "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
    }
    rows = []
    for key, value in sorted(totals.items(), key=lambda item: (-abs(item[1]), item[0])):
        share = value / shaped.whole if shaped.whole else None
        first, last, count = decided.get(key, (None, None, None))
        rows.append((key[0], key[1], value, share, count, first, last, key[2] or None))
    columns = (
        Column("policy", "policy"),
        Column("version", "version"),
        Column("value", shaped.header, "share", in_text=shaped.measure == "nats"),
        Column("share", "share of change", "share"),
        Column("admitted", "admitted examples", "integer"),
        Column("decided_first", "decided", "text"),
        Column("decided_last", "last decided", "text", in_text=False),
        Column("digest", "digest of the policy", "text", in_text=False),
    )
    return Table("policies", "By policy and version", columns, tuple(rows))


def _grounds(records: Records) -> Table:
    """Per determining rule of an admission: classes and profiles that it went with."""
    rows = records.ask(
        "SELECT d.policy_id, d.policy_version, t.rule, "
        'string_agg(DISTINCT d."class", \', \' ORDER BY d."class"), '
        "string_agg(DISTINCT d.profile, ', ' ORDER BY d.profile), count(DISTINCT d.decision) "
        "FROM decisions d JOIN truths t ON t.decision = d.decision AND t.determining "
        "WHERE d.verdict = 'admit' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    columns = (
        Column("policy", "policy", in_text=False),
        Column("version", "version", in_text=False),
        Column("rule", "rule"),
        Column("classes", "classes"),
        Column("profiles", "depth profiles"),
        Column("decisions", "decisions", "integer"),
    )
    return Table(
        "grounds", "What the rules admitted, and how deep it may act", columns, tuple(rows)
    )
