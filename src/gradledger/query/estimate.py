"""What the books alone say about an intervention: entries scaled as their weights would be.

The estimate of a removal is minus the booked part. It holds learning rates, clip factors, second
moments and every other visit's gradients as they were; only an executed replay lets them follow.
The books know nothing of content that was not presented: a substitution has no estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from gradledger.query.intervals import tiling
from gradledger.query.measures import Scope, columns_of, settled_sql
from gradledger.query.names import match_groups, match_steps
from gradledger.query.records import Records
from gradledger.query.touch import displacement_wholes
from gradledger.schema import Intervention, Substitute, changed_weights, parts_of

_PROBED: Final = "probe_visits"
#: Probes whose settled intervals begin with the run and end with it.
_WHOLE: Final = (
    f"SELECT probe FROM {_PROBED} GROUP BY probe HAVING min(start_step) = 0 AND max(stop_step) = ?"
)
#: Visits given as three lists of equal length.
_CHOSEN: Final = (
    "(SELECT unnest(?::INTEGER[]) AS step, unnest(?::INTEGER[]) AS micro_batch, "
    "unnest(?::INTEGER[]) AS position) c"
)
_JOINED: Final = "v.step = c.step AND v.micro_batch = c.micro_batch AND v.position = c.position"


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


@dataclass
class Scaled:
    """Visits whose weights change in the same way.

    Attributes:
        chosen: Whether they are visits of the selection; others are rescaled with them.
        before: Weight per block as recorded.
        after: Weight per block under the intervention.
        steps: Step of each.
        micro_batches: Its micro-batch.
        positions: Its position there.
    """

    chosen: bool
    before: tuple[float, ...]
    after: tuple[float, ...]
    steps: list[int] = field(default_factory=list)
    micro_batches: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)

    @property
    def bound(self) -> list[list[int]]:
        """Return the places, as SQL takes them."""
        return [self.steps, self.micro_batches, self.positions]


def scaled_visits(records: Records, intervention: Intervention) -> list[Scaled]:
    """Return the visits of chosen examples, and those rescaled with them, by what changes.

    Args:
        records: The run.
        intervention: What is done, to which examples.
    """
    place = len(records.begin.blocks)
    rows = records.ask(
        "SELECT v.step, v.micro_batch, v.position, v.example, d.profile, v.tokens "
        "FROM visits v JOIN decisions d USING (decision) JOIN (SELECT DISTINCT step, micro_batch "
        "FROM visits WHERE example IN (SELECT unnest(?::INTEGER[]))) m "
        "ON m.step = v.step AND m.micro_batch = v.micro_batch ORDER BY 1, 2, 3",
        [list(intervention.examples)],
    )
    wanted = frozenset(intervention.examples)
    found: dict[tuple[Any, ...], Scaled] = {}
    for (step, micro_batch), together in groupby(rows, key=lambda row: (row[0], row[1])):
        micro = list(together)
        old = [tuple(records.profiles.get(str(row[4]), [1.0] * place)) for row in micro]
        tokens = [float(row[5] or 0) for row in micro]
        new = changed_weights(intervention, step, [row[3] for row in micro], old, tokens)
        for row, before, after in zip(micro, old, new, strict=True):
            if row[3] in wanted or before != after:
                key = (row[3] in wanted, before, after)
                scaled = found.setdefault(key, Scaled(*key))
                scaled.steps.append(int(step))
                scaled.micro_batches.append(int(micro_batch))
                scaled.positions.append(int(row[2]))
    return list(found.values())


def is_estimable(intervention: Intervention) -> bool:
    """Whether the books hold what an estimate needs: no other content, and somebody affected."""
    return not any(
        isinstance(part, Substitute) and set(part.examples) - set(part.same)
        for part in parts_of(intervention)
    )


def estimate(records: Records, intervention: Intervention) -> dict[int, Estimate]:
    """Return the ledger's estimate by parameter group; empty where the books have none.

    Args:
        records: The run; needs displacement of all its steps.
        intervention: What is done, to which examples.
    """
    matched, span = match_groups(records, None), match_steps(records, None, None)
    scope = Scope(records, matched, span, "displacement", tiling(records, span))
    if not scope.intervals or not is_estimable(intervention):
        return {}
    captured = columns_of(scope, "displacement_visits", "share")
    wholes = displacement_wholes(scope)
    place = {block: index for index, block in enumerate(records.begin.blocks)}
    found = {group: Estimate(0.0, 0.0, wholes.get(group, 0.0)) for group in matched.numbers}
    for scaled in scaled_visits(records, intervention):
        sums = _sums(
            records,
            f"FROM displacement_visits v JOIN {_CHOSEN} ON {_JOINED} "
            f"WHERE {settled_sql(scope, 'v')}",
            [f"share_{group}" for group in captured],
            scaled.bound,
        )
        booked = dict(zip(captured, sums, strict=True))
        for group in matched.groups:
            at, value, whole = place[group.block], booked.get(group.group, 0.0), found[group.group]
            part = _scaled(value, scaled.before[at], scaled.after[at])
            found[group.group] = Estimate(
                whole.booked + (value if scaled.chosen else 0.0),
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
    if not records.files.get(_PROBED) or not intervention.examples:
        return {}
    if not is_estimable(intervention):
        return {}
    stop = match_steps(records, None, None).stop
    place = {block: index for index, block in enumerate(records.begin.blocks)}
    groups = [g for g in records.begin.groups if f"nats_{g.group}" in records.columns[_PROBED]]
    whole = [str(row[0]) for row in records.ask(f"{_WHOLE} ORDER BY 1", [stop])]
    visits = scaled_visits(records, intervention)
    parts: dict[str, list[float | None]] = {probe: [] for probe in whole}
    for probe in whole:
        for scaled in visits:
            sums = _sums(
                records,
                f"FROM {_PROBED} v JOIN {_CHOSEN} ON {_JOINED} WHERE v.probe = ?",
                [f"nats_{group.group}" for group in groups],
                [*scaled.bound, probe],
            )
            for group, value in zip(groups, sums, strict=True):
                at = place[group.block]
                parts[probe].append(_scaled(value, scaled.before[at], scaled.after[at]))
    return {
        name: math.fsum(value for value in values if value is not None)
        for name, values in parts.items()
        if None not in values
    }


def _sums(
    records: Records, source: str, columns: Sequence[str], bound: Sequence[Any]
) -> list[float]:
    """Return the sum of every column over a relation; terms that are not finite count nothing."""
    terms = ", ".join(
        f"sum(CASE WHEN isfinite(v.{name}::DOUBLE) THEN v.{name}::DOUBLE END)" for name in columns
    )
    row = records.ask(f"SELECT {terms or '0.0'} {source}", bound)[0]
    return [float(value or 0.0) for value in row][: len(columns)]


def _scaled(booked: float, before: float, after: float) -> float | None:
    if before == after:
        return 0.0
    return booked * (after / before - 1.0) if before else None
