"""How a run was cut off and went on, and the steps that were cut off: kept, and counted nowhere."""

from __future__ import annotations

from typing import Any

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.records import Records
from gradledger.query.relations import rows_of
from gradledger.schema import Resume
from gradledger.segment import orphan_folder, read_append_log, segment_files

_RESUMES = (
    Column("resume", "resume", "integer"),
    Column("resumed_at", "at"),
    Column("step", "after step", "integer"),
    Column("stopped", "was cut off"),
    Column("orphan_steps", "orphan steps", "integer"),
    Column("orphan_visits", "orphan visits", "integer"),
    Column("passed_over", "states passed over", "integer"),
)
_STEPS = (
    Column("resume", "resume", "integer"),
    Column("step", "step", "integer"),
    Column("visits", "visits", "integer"),
    Column("loss", "loss [nats]", "number"),
    Column("verdict", "verdict"),
    Column("fingerprint_after", "fingerprint after"),
    Column("repeated", "done again"),
)


def orphans(records: Records) -> Answer:
    """Return every resume, and every step that one of them set aside.

    A step that was done again shows whether it ended in the same bits.
    """
    rows = [row for resume in records.resumes for row in _steps(records, resume)]
    return Answer(
        question="orphans",
        title="Steps that were cut off",
        kind="accounting",
        facts={"cut off now": unfinished(records)},
        tables=(
            resumes_table(records),
            Table("orphans", f"{len(rows)} orphan steps", _STEPS, tuple(rows)),
        ),
        notes=("orphans stand in no other answer; their files lie in the folder orphans",),
    )


def resumes_table(records: Records) -> Table:
    """Return one row per resume."""
    rows = tuple(
        (
            resume.resume,
            resume.resumed_at[:19],
            resume.step,
            _in_words(resume.stopped),
            resume.num_orphan_steps,
            resume.num_orphan_visits,
            len(resume.passed_over),
        )
        for resume in records.resumes
    )
    return Table("resumes", f"{len(rows)} resumes", _RESUMES, rows)


def resumed_steps(records: Records) -> list[int]:
    """Return the steps that were the first after a resume."""
    return sorted({resume.step + 1 for resume in records.resumes})


def unfinished(records: Records) -> str:
    """Say what an open run has in its write-ahead log; empty where it is closed."""
    if records.end is not None:
        return "no: the run is closed"
    committed: set[int] = set()
    intents: dict[int, dict[str, Any]] = {}
    for path in sorted((records.path / "wal").glob("session-*.log")):
        for record in read_append_log(path):
            step = int(record.head["step"])
            if record.head["kind"] == "commit":
                committed.add(step)
                intents.pop(step, None)
            else:
                intents[step] = record.head
    sealed = records.span[1] if records.span else 0
    waiting = sorted(step for step in committed if step > sealed)
    parts = []
    if waiting:
        parts.append(f"steps {waiting[0]} to {waiting[-1]} are committed and not sealed")
    parts += [
        _in_words({"phase": "between intent and commit", **head}) for head in intents.values()
    ]
    return "; ".join(parts) or "no step was under way"


def _steps(records: Records, resume: Resume) -> list[tuple[Any, ...]]:
    files = segment_files(orphan_folder(records.path, resume.resume), "steps")
    if not files:
        return []
    return [
        (resume.resume, *row)
        for row in records.ask(
            f"""
            SELECT o.step, o.visits, o.loss, o.verdict, o.fingerprint_after,
                   CASE WHEN s.step IS NULL THEN 'not yet'
                        WHEN s.fingerprint_after = o.fingerprint_after THEN 'bit for bit'
                        ELSE 'otherwise' END
            FROM {rows_of(files)} o LEFT JOIN steps s USING (step) ORDER BY o.step
            """
        )
    ]


def _in_words(stopped: dict[str, Any]) -> str:
    if stopped.get("phase") == "between intent and commit":
        count = sum(len(part) for part in stopped.get("examples", ()))
        return f"in step {stopped['step']}: intent without commit, {count} visits"
    return f"{stopped.get('phase', 'unknown')}, after step {stopped.get('step', 0)}"
