"""Chapter: how often examples were seen, and content that came more than once."""

from __future__ import annotations

from typing import Final

from gradledger.query.selection import preferred_metadata
from gradledger.query.signals import exposures, labels
from gradledger.report.evidence import Field, Figure, Grid, Section, Verdict
from gradledger.report.reading import Reading, counted

_LISTED: Final = 10


def exposure(reading: Reading) -> tuple[Section, tuple[Verdict, ...], dict[str, Figure]]:
    """Return the chapter, its verdict and its figures for the gate."""
    records = reading.records
    counts, most = exposures(records, _LISTED)
    per_example = counted("visits", "visits per visited example", "visits")
    same = counted(
        "examples",
        "visited examples beyond the first of each content commitment",
        "decisions/examples",
        "visits",
    )
    gauges = {
        "most-visits": Figure("most-visits", "visits of the example seen most often",
                              int(counts["most"]), per_example, "integer"),
        "median-visits": Figure("median-visits", "visits of an example, median", counts["median"],
                                per_example),
        "repeated-content": Figure("repeated-content", "examples that repeat other content",
                                   int(counts["repeated_content"]), same, "integer"),
    }  # fmt: skip
    columns = preferred_metadata(records)[:2]
    known = labels(records, [example for example, _ in most], columns)
    fields = (
        Field("example", "example"),
        *(Field(f"metadata.{name}", name) for name in columns),
        Field("visits", "visits", "integer", per_example),
    )
    rows = tuple(
        (str(example), *known.get(example, [None] * len(columns)), count) for example, count in most
    )
    repeated = int(counts["repeated_content"])
    verdict = Verdict(
        "repetition",
        "No content was admitted twice",
        "no" if repeated else "yes",
        f"{repeated:,} visited examples repeat the content of another to the byte."
        if repeated
        else f"All {int(counts['examples']):,} visited examples differ, as far as commitments were "
        "taken.",
    )
    section = Section(
        "exposure",
        "Exposure",
        (),
        tuple(gauges.values()),
        (),
        (Grid("exposure", "Examples seen most often", fields, rows),),
    )
    return section, (verdict,), gauges
