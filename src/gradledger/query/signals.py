"""Signals of memorisation and starvation: what stands out, what comes often, what is quiet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gradledger.query.measures import Scope, value_sql
from gradledger.query.records import Records

#: Makes the median absolute deviation of a normal distribution its standard deviation.
MAD_SCALE: Final = 1.4826
#: Norms whose medians are taken together: 8 bytes each, twice.
_VALUES_AT_ONCE: Final = 1 << 24


@dataclass(frozen=True)
class Outlier:
    """The visit of an example that stands out most, over all parameter groups.

    Attributes:
        example: Its number.
        robust_z: (norm - median) / (1.4826 MAD) among visits that act on the same group.
        norm: The gradient norm, in nats per unit of the parameters.
        group: Number of the parameter group.
        step: Where it was seen.
        num_visits: Visits of the example above the threshold, in any group.
    """

    example: int
    robust_z: float
    norm: float
    group: int
    step: int
    num_visits: int


@dataclass(frozen=True)
class Localised:
    """Where an example's gradient is concentrated.

    Attributes:
        example: Its number.
        profile: Depth profile of its visits.
        group: The parameter group that took most.
        share: Part of the summed squared norms that this group took, in [0, 1].
        usual: Median of the same over the examples of that profile.
    """

    example: int
    profile: str | None
    group: int
    share: float
    usual: float


@dataclass(frozen=True)
class Signal:
    """How much signal a parameter group got.

    Attributes:
        group: Its number.
        visits: Visits whose norm there is recorded and finite.
        acting: Visits with a gradient other than zero there.
        quiet_steps: Steps in which no visit acted there.
        median: Median gradient norm of the visits that act.
        mad: Median absolute deviation of the same.
        largest: Largest gradient norm.
    """

    group: int
    visits: int
    acting: int
    quiet_steps: int
    median: float | None
    mad: float | None
    largest: float | None

    def robust_z(self) -> float | None:
        """Return the robust z of the largest norm; ``None`` where norms have no spread."""
        if self.median is None or self.largest is None or not self.mad:
            return None
        return (self.largest - self.median) / (MAD_SCALE * self.mad)


def group_signals(records: Records, groups: Sequence[int]) -> list[Signal]:
    """Return the signal of every group, in the order given.

    Groups are measured together, as many as their norms fit into memory: medians hold all values.
    """
    (num_visits,) = records.ask("SELECT count(*) FROM visits")[0]
    at_once = max(1, _VALUES_AT_ONCE // max(1, int(num_visits)))
    found: list[Signal] = []
    for start in range(0, len(groups), at_once):
        found += _signals_of(records, groups[start : start + at_once])
    return found


def _signals_of(records: Records, groups: Sequence[int]) -> list[Signal]:
    """Measure some groups in three passes: spread needs the median, silence goes by step."""
    finite = {g: f"FILTER (WHERE isfinite(gnorm_{g}))" for g in groups}
    acting = {g: f"FILTER (WHERE isfinite(gnorm_{g}) AND gnorm_{g} > 0)" for g in groups}
    sizes = ", ".join(
        f"count(*) {finite[g]}, count(*) {acting[g]}, median(gnorm_{g}::DOUBLE) {acting[g]}, "
        f"max(gnorm_{g}::DOUBLE) {finite[g]}"
        for g in groups
    )
    row = records.ask(f"SELECT {sizes} FROM visits")[0]
    parts = {g: row[4 * place : 4 * place + 4] for place, g in enumerate(groups)}
    spreads = ", ".join(
        "NULL" if parts[g][2] is None
        else f"median(abs(gnorm_{g}::DOUBLE - {parts[g][2]!r})) {acting[g]}"
        for g in groups
    )  # fmt: skip
    spread = dict(zip(groups, records.ask(f"SELECT {spreads} FROM visits")[0], strict=True))
    silent = ", ".join(
        f"count(*) {finite[g]} > 0 AND count(*) {acting[g]} = 0 AS quiet_{g}" for g in groups
    )
    counts = ", ".join(f"count_if(quiet_{g})" for g in groups)
    by_step = f"SELECT {silent} FROM visits GROUP BY step"
    quiet = dict(zip(groups, records.ask(f"SELECT {counts} FROM ({by_step})")[0], strict=True))
    return [
        Signal(g, int(visits), int(acts), int(quiet[g]), middle, spread[g], largest)
        for g, (visits, acts, middle, largest) in parts.items()
    ]


def outliers(
    records: Records, signals: Sequence[Signal], threshold: float
) -> tuple[list[Outlier], int]:
    """Return examples with a visit above the threshold, worst first, and how many such visits.

    Args:
        records: The run.
        signals: What ``group_signals`` returned; groups without a spread are left out.
        threshold: Robust z from which a visit counts as outlying.
    """
    terms = [
        (signal.group, (f"(v.gnorm_{signal.group}::DOUBLE - {signal.median!r}) "
         f"/ {MAD_SCALE * signal.mad!r}"))
        for signal in signals
        if signal.median is not None and signal.mad
    ]  # fmt: skip
    if not terms:
        return [], 0
    scored = " UNION ALL ".join(
        f"SELECT v.example, v.step, v.micro_batch, v.position, {g} AS grp, "
        f"v.gnorm_{g}::DOUBLE AS norm, {z} AS z FROM visits v "
        f"WHERE isfinite(v.gnorm_{g}) AND v.gnorm_{g} > 0 AND {z} > {float(threshold)!r}"
        for g, z in terms
    )
    rows = records.ask(
        f"""
        WITH s AS ({scored}), best AS (
            SELECT *, row_number() OVER (PARTITION BY example ORDER BY z DESC, step, grp) AS place
            FROM s
        ), counted AS (
            SELECT example, count(DISTINCT (step, micro_batch, position)) AS visits
            FROM s GROUP BY 1
        )
        SELECT b.example, b.z, b.norm, b.grp, b.step, c.visits
        FROM best b JOIN counted c USING (example) WHERE b.place = 1
        ORDER BY b.z DESC, b.example
        """
    )
    found = [
        Outlier(int(e), float(z), float(n), int(g), int(s), int(c)) for e, z, n, g, s, c in rows
    ]
    return found, sum(item.num_visits for item in found)


def localised(records: Records, groups: Sequence[int]) -> list[Localised]:
    """Return every visited example with the group that took most of its gradient.

    Sorted by how far its share is above the median of its profile: a profile that opens only one
    block concentrates every example there, which says nothing of the example.
    """
    if not groups:
        return []
    sums = ", ".join(
        f"sum(CASE WHEN isfinite(v.gnorm_{g}) THEN v.gnorm_{g}::DOUBLE * v.gnorm_{g} END) AS s_{g}"
        for g in groups
    )
    longest = f"greatest({', '.join(f'coalesce(s_{g}, 0)' for g in groups)}, 0)"
    total = " + ".join(f"coalesce(s_{g}, 0)" for g in groups)
    cases = " ".join(f"WHEN s_{g} = most THEN {g}" for g in groups)
    rows = records.ask(
        f"""
        WITH a AS (
            SELECT v.example, max(d.profile) AS profile, {sums}
            FROM visits v LEFT JOIN decisions d USING (decision) GROUP BY v.example
        ), b AS (SELECT *, {longest} AS most, {total} AS total FROM a),
        c AS (SELECT example, profile, CASE {cases} END AS grp, most / total AS share
              FROM b WHERE total > 0)
        SELECT example, profile, grp, share, median(share) OVER (PARTITION BY profile) AS usual
        FROM c ORDER BY share / usual DESC, example
        """
    )
    return [Localised(int(e), p, int(g), float(s), float(u)) for e, p, g, s, u in rows]


def exposures(records: Records, top: int) -> tuple[dict[str, float], list[tuple[int, int]]]:
    """Return counts of visits per example, and the examples visited most often.

    Returns:
        Named counts (``examples``, ``most``, ``median``, ``repeated_content``: visited examples
        beyond the first with one content commitment), and (example, visits), most visits first.
    """
    row = records.ask(
        "SELECT count(*), max(n), median(n) FROM "
        "(SELECT count(*) AS n FROM visits GROUP BY example)"
    )[0]
    repeated = records.ask(
        "SELECT coalesce(sum(n - 1), 0)::BIGINT FROM (SELECT count(*) AS n FROM examples "
        "WHERE content IS NOT NULL AND example IN (SELECT example FROM visits) GROUP BY content)"
    )[0][0]
    most = records.ask(
        "SELECT example, count(*) AS n FROM visits GROUP BY 1 ORDER BY n DESC, 1 LIMIT ?", [top]
    )
    counts = {
        "examples": float(row[0]),
        "most": float(row[1] or 0),
        "median": float(row[2] or 0.0),
        "repeated_content": float(repeated),
    }
    return counts, [(int(example), int(n)) for example, n in most]


def example_values(scope: Scope) -> list[tuple[int, float, int]]:
    """Return every visited example with its summed value under the measure, and its visits."""
    sql = value_sql(scope)
    rows = scope.records.ask(
        f"WITH {sql.with_sql} a AS (SELECT v.example, sum({sql.careful}) AS value, "
        f"count(*) AS visits FROM {sql.source} WHERE {sql.where} GROUP BY 1) "
        "SELECT * FROM a ORDER BY value, example"
    )
    return [(int(example), float(value or 0.0), int(visits)) for example, value, visits in rows]


def labels(
    records: Records, examples: Sequence[int], columns: Sequence[str]
) -> dict[int, list[str | None]]:
    """Return the values of metadata columns of some examples, as text."""
    wanted = ", ".join(str(int(example)) for example in examples) or "NULL"
    fields = "".join(f', CAST("{name}" AS VARCHAR)' for name in _quoted(columns))
    rows = records.ask(f"SELECT example{fields} FROM examples WHERE example IN ({wanted})")
    return {int(row[0]): list(row[1:]) for row in rows}


def _quoted(columns: Sequence[str]) -> list[str]:
    return [name.replace('"', '""') for name in columns]
