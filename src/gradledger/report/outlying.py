"""Chapter: gradients that stand out by size, and gradients that go to one place."""

from __future__ import annotations

from typing import Final

from gradledger.query.selection import preferred_metadata
from gradledger.query.signals import (
    MAD_SCALE,
    Signal,
    group_signals,
    labels,
    localised,
    outliers,
)
from gradledger.report.evidence import Basis, Field, Figure, Grid, Section, Value, Verdict
from gradledger.report.reading import Reading

#: Robust z from which a visit counts as outlying.
ROBUST_Z: Final = 8.0
#: An example is localised where one group takes this share of its squared gradient ...
LOCALISED: Final = 0.9
#: ... and this many times the median over examples of its profile.
EXCESS: Final = 1.5
#: Examples that a table lists.
_LISTED: Final = 20

_Z_METHOD: Final = (
    "robust z of the gradient norm among the visits acting on the same parameter group: (norm - "
    f"median) / ({MAD_SCALE} x median absolute deviation); norms after the depth profile"
)
_LOCAL_METHOD: Final = (
    "largest part of an example's summed squared gradient norms in one parameter group; against "
    "the median of the same over visited examples of its depth profile"
)


def normed_groups(reading: Reading) -> list[int]:
    """Return the groups whose gradient norms were booked."""
    present = reading.records.columns["visits"]
    captured = set(reading.matched.captured)
    return [g for g in reading.matched.numbers if f"gnorm_{g}" in present and g in captured]


def outlying(reading: Reading) -> tuple[Section, tuple[Verdict, ...], dict[str, Figure]]:
    """Return the chapter, its verdicts and its figures for the gate."""
    groups = normed_groups(reading)
    if not groups:
        words = "The recording level holds no gradient norms: nothing can be said."
        absent = Verdict("outlying", "No gradient stands out", "not known", words)
        return Section("outlying", "Outlying and localised gradients", (words,)), (absent,), {}
    names = {group.group: group.name for group in reading.matched.groups}
    signals = group_signals(reading.records, groups)
    found, num_visits = outliers(reading.records, signals, ROBUST_Z)
    concentrated = localised(reading.records, groups)
    local = [
        item
        for item in concentrated
        if item.share >= LOCALISED and item.share >= EXCESS * item.usual
    ]
    z_basis = Basis("1", _Z_METHOD, "estimated", ("visits",), f"robust z above {ROBUST_Z:g}")
    local_basis = Basis(
        "1", _LOCAL_METHOD, "estimated", ("visits", "decisions/distinct"),
        f"share >= {LOCALISED:g} and >= {EXCESS:g} times the median",
    )  # fmt: skip
    gauges = {
        "outlying-visits": Figure(
            "outlying-visits", f"visits with a gradient norm of robust z above {ROBUST_Z:g}",
            num_visits, z_basis, "integer"),
        "largest-z": Figure(
            "largest-z", "largest robust z", found[0].robust_z if found else None, z_basis),
        "localised-examples": Figure(
            "localised-examples", "examples whose gradient goes to one group", len(local),
            local_basis, "integer"),
    }  # fmt: skip
    if not found:
        gauges["largest-z"] = _largest(signals, z_basis)
    known, columns = _labels(
        reading, [*(x.example for x in found), *(x.example for x in concentrated[:_LISTED])]
    )
    rows = tuple(
        (str(x.example), *known.get(x.example, [None] * len(columns)), names[x.group], x.step,
         x.norm, x.robust_z, x.num_visits)
        for x in found
    )  # fmt: skip
    norm = Basis("nats per parameter unit", "gradient norm after the depth profile",
                 "to rounding", ("visits",), "at the visit that stands out most")  # fmt: skip
    standing = Grid(
        "outliers",
        f"Examples with a visit of robust z above {ROBUST_Z:g}, worst first",
        (
            *_label_fields(columns),
            Field("group", "parameter group"),
            Field("step", "step", "number", norm),
            Field("norm", "norm", "number", norm),
            Field("z", "robust z", "number", z_basis),
            Field("visits", "such visits", "number", z_basis),
        ),
        rows,
        shown=_LISTED,
        note="" if rows else "None.",
    )
    local_rows: list[tuple[Value, ...]] = [
        (str(x.example), *known.get(x.example, [None] * len(columns)), x.profile, names[x.group],
         x.share, x.usual)
        for x in concentrated[:_LISTED]
    ]  # fmt: skip
    local_grid = Grid(
        "localised",
        "Examples whose gradient is most concentrated for their depth profile",
        (
            *_label_fields(columns),
            Field("profile", "profile"),
            Field("group", "parameter group"),
            Field("share", "in this group", "share", local_basis),
            Field("usual", "median of profile", "share", local_basis),
        ),
        tuple(local_rows),
        shown=_LISTED,
    )
    section = Section(
        "outlying",
        "Outlying and localised gradients",
        (
            (
                "An example that a model commits to memory tends to pull hard, again and again, "
                "and in few places. Each visit's gradient norm is compared with those of the "
                "other visits that act on the same parameter group."
            ),
        ),
        tuple(gauges.values()),
        (),
        (standing, local_grid),
    )
    return section, (_verdict(num_visits, len(found), len(local), reading.volume.visits),), gauges


def _largest(signals: list[Signal], basis: Basis) -> Figure:
    """Without an outlier the largest z is somewhere below the threshold."""
    has_spread = any(signal.mad for signal in signals)
    label = "largest robust z" if has_spread else "largest robust z (norms have no spread)"
    return Figure("largest-z", f"{label}, not above {ROBUST_Z:g}", None, basis)


def _verdict(num_visits: int, num_examples: int, num_local: int, visits: int) -> Verdict:
    question = "No gradient stands out by size or place"
    if not num_visits and not num_local:
        return Verdict("outlying", question, "yes", f"None of {visits:,} visits does.")
    return Verdict(
        "outlying",
        question,
        "no",
        f"{num_visits:,} of {visits:,} visits, of {num_examples:,} examples, stand out by size; "
        f"{num_local:,} examples pull on one parameter group alone.",
    )


def _labels(reading: Reading, examples: list[int]) -> tuple[dict[int, list[str | None]], list[str]]:
    columns = preferred_metadata(reading.records)[:2]
    return labels(reading.records, examples, columns), columns


def _label_fields(columns: list[str]) -> list[Field]:
    return [Field("example", "example"), *(Field(f"metadata.{name}", name) for name in columns)]
