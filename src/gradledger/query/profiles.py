"""Depth weights under which selected visits acted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gradledger.query.measures import Scope
from gradledger.query.records import Records
from gradledger.query.selection import brought_together, conditions
from gradledger.schema import GroupRecord


def profiles_of(scope: Scope, where: Mapping[str, Any]) -> list[str]:
    """Return the profiles under which the visits that match ``where`` acted, by name."""
    sql, values = conditions(scope.records, where, "v")
    relation, _ = brought_together(scope.records, "visits", where)
    rows = scope.records.ask(
        f"SELECT DISTINCT d.profile FROM {relation} v JOIN decisions d USING (decision) "
        f"WHERE v.step BETWEEN ? AND ? AND {sql} ORDER BY 1",
        [scope.span.start, scope.span.stop, *values],
    )
    return [str(row[0]) for row in rows if row[0] is not None]


def weights_in_words(
    records: Records, groups: Sequence[GroupRecord], profiles: Sequence[str]
) -> str:
    """Return the depth weights of these groups under these profiles, as one figure or a range."""
    place = {name: index for index, name in enumerate(records.begin.blocks)}
    weights = sorted(
        records.profiles[name][place[group.block]]
        for group in groups
        for name in profiles
        if group.block in place and place[group.block] < len(records.profiles.get(name, ()))
    )
    if not weights:
        return ""
    if weights[0] == weights[-1]:
        return f"{weights[0]:g}"
    return f"{weights[0]:g} to {weights[-1]:g}"
