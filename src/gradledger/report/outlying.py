"""Chapter: gradients that stand out by size, and gradients that go to one place."""

from __future__ import annotations

from typing import Final

from gradledger.query.selection import preferred_metadata
from gradledger.query.signals import (
    MAD_SCALE,
    Localised,
    Outlier,
    labels,
    localised,
    outliers,
)
from gradledger.report.evidence import Basis, Field, Figure, Grid, Section, Verdict
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


_WORDS: Final = (
    "An example that a model commits to memory tends to pull hard, again and again, and in few "
    "places. Each visit's gradient norm is compared with those of the other visits that act on the "
    "same parameter group."
)


def outlying(reading: Reading) -> tuple[Section, tuple[Verdict, ...], dict[str, Figure]]:
    """Return the chapter, its verdicts and its figures for the gate."""
    groups = reading.normed_groups
    if not groups:
        words = "The recording level holds no gradient norms: nothing can be said."
        absent = Verdict("outlying", "No gradient stands out", "not known", words)
        return Section("outlying", "Outlying and localised gradients", (words,)), (absent,), {}
    signals = reading.signals
    found, num_visits = outliers(reading.records, signals, ROBUST_Z)
    concentrated = localised(reading.records, groups)
    num_local = sum(
        item.share >= LOCALISED and item.share >= EXCESS * item.usual for item in concentrated
    )
    scores = [z for z in (signal.robust_z() for signal in signals) if z is not None]
    above = f"robust z above {ROBUST_Z:g}"
    gauges = {
        "outlying-visits": Figure(
            "outlying-visits", f"visits with a gradient norm of {above}", num_visits,
            _z_basis(above), "integer"),
        "largest-z": Figure(
            "largest-z", "largest robust z", max(scores, default=None), _z_basis("largest")),
        "localised-examples": Figure(
            "localised-examples", "examples whose gradient goes to one group", num_local,
            _local_basis(), "integer"),
    }  # fmt: skip
    section = Section(
        "outlying",
        "Outlying and localised gradients",
        (_WORDS,),
        tuple(gauges.values()),
        (),
        (_by_size(reading, found), _by_place(reading, concentrated[:_LISTED])),
    )
    return section, (_verdict(num_visits, len(found), num_local, reading.volume.visits),), gauges


def _by_size(reading: Reading, found: list[Outlier]) -> Grid:
    names = {group.group: group.name for group in reading.matched.groups}
    known, columns = _labels(reading, [item.example for item in found])
    rows = tuple(
        (str(x.example), *known.get(x.example, [None] * len(columns)), names[x.group], x.step,
         x.norm, x.robust_z, x.num_visits)
        for x in found
    )  # fmt: skip
    norm = Basis("nats per parameter unit", "gradient norm after the depth profile",
                 "to rounding", ("visits",), "at the visit that stands out most")  # fmt: skip
    above = f"robust z above {ROBUST_Z:g}"
    fields = (
        *_label_fields(columns),
        Field("group", "parameter group"),
        Field("step", "step", "number", norm),
        Field("norm", "norm", "number", norm),
        Field("z", "robust z", "number", _z_basis(above)),
        Field("visits", "such visits", "number", _z_basis(above)),
    )
    title = f"Examples with a visit of {above}, worst first"
    return Grid("outliers", title, fields, rows, shown=_LISTED, note="" if rows else "None.")


def _by_place(reading: Reading, found: list[Localised]) -> Grid:
    names = {group.group: group.name for group in reading.matched.groups}
    known, columns = _labels(reading, [item.example for item in found])
    rows = tuple(
        (str(x.example), *known.get(x.example, [None] * len(columns)), x.profile, names[x.group],
         x.share, x.usual)
        for x in found
    )  # fmt: skip
    fields = (
        *_label_fields(columns),
        Field("profile", "profile"),
        Field("group", "parameter group"),
        Field("share", "in this group", "share", _local_basis()),
        Field("usual", "median of profile", "share", _local_basis()),
    )
    title = "Examples whose gradient is most concentrated for their depth profile"
    return Grid("localised", title, fields, rows, shown=_LISTED)


def _z_basis(query: str) -> Basis:
    return Basis("1", _Z_METHOD, "estimated", ("visits",), query)


def _local_basis() -> Basis:
    query = f"share >= {LOCALISED:g} and >= {EXCESS:g} times the median"
    return Basis("1", _LOCAL_METHOD, "estimated", ("visits", "decisions/distinct"), query)


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
