"""Chapter: what is not known about rights, and which rights have ended."""

from __future__ import annotations

from gradledger.query.doubt import (
    END_COLUMNS,
    ENDED,
    KNOWN,
    UNREADABLE,
    license_doubt,
    rights_end,
)
from gradledger.query.shares import Slice
from gradledger.report.breakdown import breakdown
from gradledger.report.evidence import Basis, Figure, Section, Verdict
from gradledger.report.reading import Reading, counted


def doubts(reading: Reading) -> tuple[Section, tuple[Verdict, ...], dict[str, Figure]]:
    """Return the chapter, its verdicts at the head, and its figures for the gate."""
    key = license_doubt(reading.records)
    unknown = [item for item in reading.split(key) if item.key != KNOWN]
    gauges = _unknown_gauges(reading, unknown)
    grid = breakdown(
        reading,
        "unknown",
        "Known and unknown licences",
        key,
        note="Unknown: no value, a word such as NOASSERTION anywhere in the expression, or the "
        "class 'unknown'.",
    )
    words = [
        (
            "A licence counts as known where somebody stated one; whether the statement is true, "
            "and whether it permits training, is for people to judge."
        )
    ]
    grids = [grid]
    verdicts = [_known(reading, unknown, gauges)]
    moment = reading.as_of.date().isoformat()
    ends = rights_end(reading.records, int(reading.as_of.timestamp() * 1_000_000))
    if ends is None:
        words.append(
            "The run records no end of any right: it has none of the metadata columns "
            f"{', '.join(END_COLUMNS)}."
        )
    else:
        ended = [item for item in reading.split(ends) if item.key in {ENDED, UNREADABLE}]
        grids.append(
            breakdown(reading, "ends", f"Rights over time, as of {moment} (UTC)", ends,
                      note="The earliest of the recorded ends counts.")
        )  # fmt: skip
        count = sum(item.visits for item in ended)
        basis = counted("visits", f"visits of examples whose right ended before {moment}",
                        "visits", "decisions/examples")  # fmt: skip
        gauges["lapsed-visits"] = Figure(
            "lapsed-visits", f"visits whose right had ended by {moment}", int(count), basis,
            "integer")  # fmt: skip
        verdicts.append(
            Verdict(
                "ends",
                f"No contribution rests on a right that had ended by {moment}",
                "no" if count else "yes",
                f"{int(count):,} visits do." if count else "No visit does.",
            )
        )
    figures = tuple(gauges.values())
    section = Section("unknown", "What is not known", tuple(words), figures, (), tuple(grids))
    return section, tuple(verdicts), gauges


def _unknown_gauges(reading: Reading, unknown: list[Slice]) -> dict[str, Figure]:
    visits = reading.volume.visits
    places = ("visits", "decisions/examples", "decisions/distinct")
    count = sum(item.visits for item in unknown)
    by_visits = count / visits if visits else None
    by_share = reading.shares(
        [sum(item.values[place] for item in unknown) for place in range(len(reading.units))]
    )[0]
    query = "visits of examples whose licence is not known"
    gauges = {
        "unknown-visits": Figure(
            "unknown-visits", "of visits rest on an unknown licence", by_visits,
            counted("1", query, *places), "share"),
    }  # fmt: skip
    if reading.is_weighed:
        gauges["unknown-share"] = Figure(
            "unknown-share",
            f"share of {reading.measure} owned by unknown licences",
            by_share,
            reading.share_basis(query),
            "share",
        )
    sizes = [abs(value) for value in (by_visits, by_share) if value is not None]
    basis = Basis("1", "the larger of the two, by size", "to rounding", places, query)
    label = "unknown, by visits or by share, whichever is more"
    gauges["unknown"] = Figure("unknown", label, max(sizes, default=None), basis, "share")
    return gauges


def _known(reading: Reading, unknown: list[Slice], gauges: dict[str, Figure]) -> Verdict:
    count = sum(item.visits for item in unknown)
    share = gauges.get("unknown-share")
    owned = ""
    if share is not None and isinstance(share.value, float):
        owned = f", which own {100 * share.value:.2f} % of the {reading.measure}"
    fraction = gauges["unknown-visits"].value
    part = f" ({100 * fraction:.1f} %)" if isinstance(fraction, float) else ""
    return Verdict(
        "licences",
        "The licence of everything that was used is known",
        "no" if count else "yes",
        f"It is not known for {int(count):,} visits{part}{owned}."
        if count
        else "Each visited example has one on record.",
    )
