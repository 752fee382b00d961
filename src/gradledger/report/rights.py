"""The rights report: what shaped this model, and on whose authority."""

from __future__ import annotations

from gradledger import __version__
from gradledger.query.records import Records
from gradledger.report.admission import admission
from gradledger.report.bookkeeping import bookkeeping
from gradledger.report.doubts import doubts
from gradledger.report.evidence import Evidence, Figure, LogCheck, Subject, unsigned
from gradledger.report.identity import identity, policy_name
from gradledger.report.integrity import check_files, file_digests, integrity, manifest_digest
from gradledger.report.limits import limits
from gradledger.report.reading import Reading, counted, read_run
from gradledger.report.shaping import shaping


def rights(
    records: Records, *, as_of: str | None = None, signed_log: LogCheck = unsigned
) -> Evidence:
    """Gather the evidence of a rights report.

    Args:
        records: The run.
        as_of: Moment for which rights are judged; by default the close of the run.
        signed_log: Gives the signed log, where the run has one and it was checked; called last.

    Raises:
        QueryError: Q110 date, Q111 no steps.
        StorageError: S113 a file of the run cannot be read.
    """
    reading = read_run(records, as_of)
    checked = check_files(reading)
    authority, resting, admitted = admission(reading)
    unknown, known, doubted = doubts(reading)
    books, balanced, booked = bookkeeping(reading)
    signed = signed_log()
    files, intact, kept = integrity(reading, checked, signed)
    model = identity(reading)
    covered = next(figure for figure in model.figures if figure.name == "coverage")
    gauges = {**doubted, **admitted, **booked, "coverage": covered, **kept}
    return Evidence(
        kind="rights",
        title="Rights report",
        lead="What shaped this model, and on whose authority.",
        subject=subject(reading),
        verdicts=(resting[0], *known, *resting[1:], balanced, intact),
        headline=_headline(reading, gauges),
        sections=(model, shaping(reading), authority, unknown, books, files),
        gauges=gauges,
        limits=limits(reading, signed),
        files=file_digests(reading, checked),
        signed_log=signed,
    )


def subject(reading: Reading) -> Subject:
    """Return what binds a report to its records."""
    records = reading.records
    return Subject(
        run_name=records.path.name,
        run_id=records.begin.run_id,
        as_of=reading.as_of.isoformat(),
        final_digest=records.end.final_digest if records.end else "",
        policy=policy_name(reading),
        policy_digest=str(records.begin.policy.get("digest", "")),
        manifest_sha256=manifest_digest(records.path),
        generator=f"gradledger {__version__}",
    )


def _headline(reading: Reading, gauges: dict[str, Figure]) -> tuple[Figure, ...]:
    volume = reading.volume
    shares = (gauges["unknown-share"],) if "unknown-share" in gauges else ()
    return (
        Figure("visits", "visits", volume.visits,
               counted("visits", "all rows", "visits"), "integer"),
        Figure("examples_visited", "examples used", volume.examples,
               counted("examples", "distinct examples", "visits"), "integer"),
        Figure("steps", "steps", volume.steps, counted("steps", "all rows", "steps"), "integer"),
        gauges["denied-visits"],
        gauges["unknown-visits"],
        *shares,
        gauges["coverage"],
        gauges["unbalanced"],
    )  # fmt: skip
