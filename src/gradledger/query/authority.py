"""On whose authority: which visits rest on which kind of decision, and what profiles kept out."""

from __future__ import annotations

from dataclasses import dataclass

from gradledger.query.measures import numbers
from gradledger.query.records import Records


@dataclass(frozen=True)
class Authority:
    """Visits by what they rest on; a visit may be counted under several faults.

    Attributes:
        visits: All visits.
        admitted: Visits of a known example under a decision that admits, by the run's own policy.
        refused: Visits under a decision that denies, quarantines or defers.
        undecided: Visits under a decision, or of an example, that the records do not hold.
        ungoverned: Visits under a decision that is not by the policy of the begin record.
    """

    visits: int
    admitted: int
    refused: int
    undecided: int
    ungoverned: int


@dataclass(frozen=True)
class ProfileUse:
    """How a depth profile was used.

    Attributes:
        profile: Its name.
        visits: Visits under it.
        weights: Weight per block, input to output; empty where the run does not hold them.
        acting: Visits per block with a gradient other than zero there.
    """

    profile: str | None
    visits: int
    weights: tuple[float, ...]
    acting: tuple[int, ...]


@dataclass(frozen=True)
class Volume:
    """How much was booked: visits, distinct examples among them, steps."""

    visits: int
    examples: int
    steps: int


def volume(records: Records) -> Volume:
    """Return how much the tables hold."""
    row = records.ask(
        "SELECT (SELECT count(*) FROM visits), (SELECT count(DISTINCT example) FROM visits), "
        "(SELECT count(*) FROM steps)"
    )[0]
    return Volume(*(int(value) for value in row))


def presented(records: Records) -> dict[str, int]:
    """Return examples by the verdict of their decision; ``no decision`` where none is on record."""
    rows = records.ask(
        "SELECT coalesce(d.verdict, 'no decision'), count(*) FROM examples e LEFT JOIN "
        "(SELECT decision, any_value(verdict) AS verdict FROM decisions GROUP BY 1) d "
        "USING (decision) GROUP BY 1 ORDER BY 1"
    )
    return {str(verdict): int(count) for verdict, count in rows}


def authority(records: Records) -> Authority:
    """Return how many visits rest on an admitting decision of the run's policy, and why not."""
    digest = str(records.begin.policy.get("digest", ""))
    row = records.ask(
        """
        SELECT count(*), count_if(known AND admits AND NOT refuses AND governed),
               count_if(refuses), count_if(NOT known), count_if(NOT governed)
        FROM (
            SELECT coalesce(
                       v.decision IN (SELECT decision FROM decisions)
                       AND v.example IN (SELECT example FROM examples), false) AS known,
                   coalesce(v.decision IN (
                       SELECT decision FROM decisions WHERE verdict = 'admit'), false) AS admits,
                   coalesce(v.decision IN (
                       SELECT decision FROM decisions
                       WHERE verdict IS DISTINCT FROM 'admit'), false) AS refuses,
                   ? <> '' AND coalesce(v.decision IN (
                       SELECT decision FROM decisions WHERE policy_digest = ?), false) AS governed
            FROM visits v
        )
        """,
        [digest, digest],
    )[0]
    return Authority(*(int(value) for value in row))


def profile_uses(records: Records) -> list[ProfileUse]:
    """Return, per depth profile that was used, its weights and where its visits really acted."""
    present = records.columns["visits"]
    per_block = []
    for block in records.begin.blocks:
        normed = [
            group.group
            for group in records.begin.groups
            if group.block == block and f"gnorm_{group.group}" in present
        ]
        tests = [f"(isfinite(v.gnorm_{g}) AND v.gnorm_{g} <> 0)" for g in normed]
        per_block.append(f"count_if({' OR '.join(tests) or 'false'})")
    blocks = ", ".join(per_block) or "0"
    rows = records.ask(
        f"SELECT d.profile, count(*), {blocks} FROM visits v "
        "LEFT JOIN (SELECT decision, any_value(profile) AS profile FROM decisions GROUP BY 1) d "
        "USING (decision) GROUP BY 1 ORDER BY 2 DESC, 1 NULLS LAST"
    )
    return [
        ProfileUse(
            profile=row[0],
            visits=int(row[1]),
            weights=tuple(records.profiles.get(row[0], ())) if row[0] is not None else (),
            acting=tuple(int(value) for value in row[2:])[: len(records.begin.blocks)],
        )
        for row in rows
    ]


def balance_by_step(
    records: Records, groups: tuple[int, ...], start: int, stop: int
) -> list[tuple[int, float | None, float | None, int]]:
    """Return step, largest residual and gap ratio over the groups, and unbalanced books."""
    return [
        (int(step), residual, gap, int(bad))
        for step, residual, gap, bad in records.ask(
            "SELECT step, max(CASE WHEN isfinite(residual_ratio) THEN residual_ratio END), "
            "max(CASE WHEN isfinite(gap_ratio) THEN gap_ratio END), "
            "count_if(verdict IN ('unbalanced', 'not finite')) FROM books "
            f'WHERE "group" IN ({numbers(groups)}) AND step BETWEEN ? AND ? '
            "GROUP BY step ORDER BY step",
            [start, stop],
        )
    ]
