"""The safety report: what stands out, who dominates, what was seen often, what got no signal."""

from __future__ import annotations

from gradledger.query.records import Records
from gradledger.report.dominance import dominance
from gradledger.report.evidence import Evidence, Figure, LogCheck, unsigned
from gradledger.report.exposure import exposure
from gradledger.report.identity import identity
from gradledger.report.integrity import check_files, file_digests, integrity
from gradledger.report.limits import limits
from gradledger.report.outlying import outlying
from gradledger.report.reading import Reading, counted, read_run
from gradledger.report.rights import subject
from gradledger.report.starvation import starvation

_OWN_LIMITS = (
    (
        "What stands out here is a reason to look, not a finding of memorisation or of an attack: "
        "a rare and honest example stands out too. Whether text can be drawn out of the model is "
        "told by testing the model."
    ),
    (
        "Norms are those after the depth profile and within a mean over the batch. They shrink "
        "and grow over training, so an early or a disturbed step can make all of its visits stand "
        "out."
    ),
    (
        "Repeated content is found where it is equal to the byte and from one source; near copies "
        "and copies across sources are not."
    ),
)


def safety(
    records: Records, *, as_of: str | None = None, signed_log: LogCheck = unsigned
) -> Evidence:
    """Gather the evidence of a safety report; arguments and errors as of ``rights``."""
    reading = read_run(records, as_of)
    checked = check_files(reading)
    standing, verdict_out, gauges_out = outlying(reading)
    owners, verdict_own, gauges_own = dominance(reading)
    seen, verdict_seen, gauges_seen = exposure(reading)
    quiet, verdict_quiet, gauges_quiet = starvation(reading)
    signed = signed_log()
    files, intact, kept = integrity(reading, checked, signed)
    gauges = {**gauges_out, **gauges_own, **gauges_seen, **gauges_quiet, **kept}
    verdicts = (*verdict_out, *verdict_own, *verdict_seen, *verdict_quiet, intact)
    return Evidence(
        kind="safety",
        title="Safety report",
        lead="What stands out in this training: gradients, owners, repetition, silence.",
        subject=subject(reading),
        verdicts=verdicts,
        headline=_headline(reading, gauges),
        sections=(identity(reading), standing, owners, seen, quiet, files),
        gauges=gauges,
        limits=(*_OWN_LIMITS, *limits(reading, signed)),
        files=file_digests(reading, checked),
        signed_log=signed,
    )


def _headline(reading: Reading, gauges: dict[str, Figure]) -> tuple[Figure, ...]:
    visits = Figure("visits", "visits", reading.volume.visits,
                    counted("visits", "all rows", "visits"), "integer")  # fmt: skip
    wanted = ("outlying-visits", "localised-examples", "dominance", "most-visits",
              "repeated-content", "starved-groups", "negative-share")  # fmt: skip
    return (visits, *(gauges[name] for name in wanted if name in gauges))
