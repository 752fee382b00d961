"""What the books alone say about an intervention: entries scaled as their profiles would be.

The estimate of a removal is minus the booked part. It holds learning rates, clip factors, second
moments and every other visit's gradients as they were; only an executed replay lets them follow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gradledger.query.measures import Scope, tiling
from gradledger.query.names import match_groups, match_steps
from gradledger.query.records import Records
from gradledger.query.selection import conditions
from gradledger.query.touch import touches
from gradledger.schema import Intervention

_PROBED: Final = "probe_visits"
#: Probes whose settled intervals begin with the run and end with it.
_WHOLE: Final = (
    f"SELECT probe FROM {_PROBED} GROUP BY probe HAVING min(start_step) = 0 AND max(stop_step) = ?"
)


@dataclass(frozen=True)
class Estimate:
    """Estimated change of one group, as inner products with its displacement D.

    Attributes:
        booked: <entries of the examples, D>.
        change: <estimated change, D>; ``None`` where an entry that never acted would begin to.
        whole: |D|^2.
    """

    booked: float
    change: float | None
    whole: float

    @staticmethod
    def joined(parts: list[Estimate]) -> Estimate:
        """Add groups up."""
        changes = [part.change for part in parts if part.change is not None]
        return Estimate(
            math.fsum(part.booked for part in parts),
            math.fsum(changes) if len(changes) == len(parts) else None,
            math.fsum(part.whole for part in parts),
        )

    @property
    def booked_share(self) -> float | None:
        """Booked part of the displacement."""
        return self.booked / self.whole if self.whole else None

    @property
    def share(self) -> float | None:
        """Estimated change along the displacement, as a share of it."""
        return self.change / self.whole if self.whole and self.change is not None else None


def estimate(records: Records, intervention: Intervention) -> dict[int, Estimate]:
    """Return the ledger's estimate by parameter group; empty where nothing was settled.

    Args:
        records: The run; needs displacement of all its steps.
        intervention: What is done, to which examples.
    """
    matched, span = match_groups(records, None), match_steps(records, None, None)
    scope = Scope(records, matched, span, "displacement", tiling(records, span))
    if not scope.intervals:
        return {}
    units = {str(group): [group] for group in matched.numbers}
    width = span.stop - span.start + 1
    place = {block: index for index, block in enumerate(records.begin.blocks)}
    wholes, _ = touches(scope, {"example": intervention.examples}, units, width)
    found = {
        group: Estimate(0.0, 0.0, wholes[str(group)].displacement_whole)
        for group in matched.numbers
    }
    for profile in _profiles(records, intervention.examples):
        where = {"example": intervention.examples, "profile": profile}
        old = records.profiles.get(profile, [1.0] * len(place))
        new = intervention.applied(old)
        in_units, _ = touches(scope, where, units, width)
        for group in matched.groups:
            touch = in_units[str(group.group)]
            before, after = old[place[group.block]], new[place[group.block]]
            part = _scaled(touch.displacement, before, after)
            whole = found[group.group]
            found[group.group] = Estimate(
                whole.booked + touch.displacement,
                None if part is None or whole.change is None else whole.change + part,
                whole.whole,
            )
    return found


def estimated_nats(records: Records, intervention: Intervention) -> dict[str, float]:
    """Return the estimated change of every probe that was settled for the whole run, in nats.

    Args:
        records: The run.
        intervention: What is done, to which examples.

    Returns:
        Name -> change; a probe is left out where an entry that never acted would begin to.
    """
    if not records.files.get("probe_visits") or not intervention.examples:
        return {}
    place = {block: index for index, block in enumerate(records.begin.blocks)}
    groups = [g for g in records.begin.groups if f"nats_{g.group}" in records.columns[_PROBED]]
    sums = ", ".join(f"sum(v.nats_{group.group})" for group in groups)
    sql, values = conditions(records, {"example": intervention.examples}, "v")
    rows = records.ask(
        f"SELECT v.probe, d.profile, {sums} FROM {_PROBED} v JOIN decisions d USING (decision) "
        f"WHERE {sql} AND v.probe IN ({_WHOLE}) GROUP BY 1, 2 ORDER BY 1, 2",
        [*values, match_steps(records, None, None).stop],
    )
    parts: dict[str, list[float | None]] = {}
    for probe, profile, *nats in rows:
        old = records.profiles.get(str(profile), [1.0] * len(place))
        new = intervention.applied(old)
        for group, value in zip(groups, nats, strict=True):
            at = place[group.block]
            parts.setdefault(str(probe), []).append(_scaled(float(value or 0.0), old[at], new[at]))
    return {
        name: math.fsum(value for value in found if value is not None)
        for name, found in parts.items()
        if None not in found
    }


def _scaled(booked: float, before: float, after: float) -> float | None:
    if before == after:
        return 0.0
    return booked * (after / before - 1.0) if before else None


def _profiles(records: Records, examples: tuple[int, ...]) -> list[str]:
    where: Mapping[str, object] = {"example": examples}
    sql, values = conditions(records, where, "v")
    rows = records.ask(
        "SELECT DISTINCT d.profile FROM visits v JOIN decisions d USING (decision) "
        f"WHERE {sql} ORDER BY 1",
        values,
    )
    return [str(row[0]) for row in rows if row[0] is not None]
