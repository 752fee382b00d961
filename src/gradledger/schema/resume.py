"""The record of a resume: where a run was cut off, and where it went on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

RESUME_FORMAT: Final = "gradledger.resume/1"


@dataclass(frozen=True)
class Resume:
    """Written once as ``resumes/resume-NNNN.json``, before anything is moved.

    Attributes:
        format: Version of the record.
        resume: Number, from 1.
        resumed_at: ISO 8601 UTC.
        step: Steps that stand: the run goes on with the one after.
        state: Folder of the model state that was restored, below the run.
        stopped: How the run was cut off: ``phase``, and for a step without commit its number,
            fingerprint and examples.
        first_orphan: First step that was cut off; None where there is none.
        last_orphan: Last step that was cut off, likewise.
        num_orphan_steps: Steps that were booked and do not count any more.
        num_orphan_visits: Their visits.
        moved: Files and folders that were set aside, below the run.
        passed_over: Later model states that could not be used, and why.
        environment: As in the begin record, at the resume.
        settings: Settings of the recorder that may change at a resume.
    """

    format: str
    resume: int
    resumed_at: str
    step: int
    state: str
    stopped: dict[str, Any]
    first_orphan: int | None
    last_orphan: int | None
    num_orphan_steps: int
    num_orphan_visits: int
    moved: tuple[str, ...]
    passed_over: tuple[dict[str, Any], ...]
    environment: dict[str, Any]
    settings: dict[str, Any]
