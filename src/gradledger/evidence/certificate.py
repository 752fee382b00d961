"""What a certificate of erasure says: what was asked, what was executed, and what remains.

It is a statement about the model that training without the examples gives, and only an executed
replay leads to one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gradledger.canon import record_digest
from gradledger.evidence.dsse import statement
from gradledger.evidence.model_digest import ModelDigest
from gradledger.query import Elsewhere, Records

ERASURE_TYPE: Final = "urn:gradledger:erasure:v1"

#: What an erasure does not do.
ERASURE_LIMITS: Final = (
    "order, seeds, learning rates and batch positions are those of this recorded training",
    "a training that never had them in its data set would draw another order: another question",
    "the recorded model, and states that are listed and not removed, hold what they learned",
    "rows of the record that name the examples stay, and with them identifiers and commitments",
    "copies are searched by equal bytes and equal names; other cuts of the same content are not",
    "models, states and data that left this machine, backups and snapshots are not reached",
    "decisions that were made from looking at the recorded model, such as its settings, stay",
)


def moment() -> str:
    """Return this moment, ISO 8601 UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Remains:
    """What is left of the erased elsewhere.

    Attributes:
        states: Paths of stored states and weights that contain them, below the run.
        models: Folders of other replays whose models contain them, beside the run.
        copies: Other examples of the run with the same content.
        runs: What other runs have of them.
        contents_known: Examples whose content could be digested, to search by it.
    """

    states: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    copies: tuple[int, ...] = ()
    runs: tuple[Elsewhere, ...] = ()
    contents_known: int = 0


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        words: The selection, in words.
        rows: Example, identifier and commitment of every example that is erased by it.
        earlier: Examples that earlier erasures of the run took out, and this model lacks too.
        reason: Why; it stands in the log for good, so it must name no person.
        reference: Number or name of the request elsewhere.
        requested_at: ISO 8601 UTC.
    """

    words: str
    rows: Sequence[Mapping[str, Any]]
    earlier: tuple[int, ...] = ()
    reason: str = ""
    reference: str = ""
    requested_at: str = field(default_factory=moment)


def certificate(
    records: Records,
    result: Mapping[str, Any],
    model_file: Path,
    request: Request,
    remains: Remains,
    removed: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the statement of an erasure; ``log`` is added when it is issued."""
    begin, end = records.begin, records.end
    file_sha256 = hashlib.sha256(model_file.read_bytes()).hexdigest()
    predicate = {
        "limits": list(ERASURE_LIMITS),
        "model": {
            "file_sha256": file_sha256,
            "final_fingerprint": result["final_fingerprint"],
            "final_sha256": result["final_digest"],
            "same_as_recorded": result["final_digest"] == result["run_final_digest"],
        },
        "probes": _probes(result),
        "remains": {
            "contents_searched": remains.contents_known,
            "copies": list(remains.copies),
            "models": list(remains.models),
            "runs": [_elsewhere(item) for item in remains.runs],
            "states": list(remains.states),
        },
        "removed": list(removed),
        "replay": {
            "environment": result["environment"],
            "executed_at": result["executed_at"],
            "first_affected_step": result["first_affected_step"],
            "intervention": result["intervention"],
            "intervention_sha256": record_digest("intervention/1", result["intervention"]),
            "learning_rates_set": result["num_rates_set"],
            "num_affected_visits": result["num_affected_visits"],
            "num_identical_steps": result["num_identical_steps"],
            "num_steps": result["num_steps"],
            "start_step": result["start_step"],
        },
        "request": {
            "earlier": list(request.earlier),
            "reason": request.reason,
            "reference": request.reference,
            "requested_at": request.requested_at,
            "selection": request.words,
        },
        "run": {
            "closed_at": end.closed_at if end else None,
            "created_at": begin.created_at,
            "final_sha256": end.final_digest if end else None,
            "run_id": begin.run_id,
        },
        "erased": [
            {name: row.get(name) for name in ("example", "example_id", "content")}
            for row in request.rows
        ],
    }
    digest = ModelDigest("model", {model_file.name: file_sha256})
    subject = [(digest.name, digest.root), (model_file.name, file_sha256)]
    return statement(subject, ERASURE_TYPE, predicate)


def _elsewhere(item: Elsewhere) -> dict[str, Any]:
    found = asdict(item)
    return {**found, "examples": list(item.examples)}


def _probes(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every figure of both models; numbers as text, which has one form."""
    return [
        {"name": name, **{side: _text(values[side]) for side in ("recorded", "executed")}}
        for name, values in sorted(result["observations"].items())
    ]


def _text(value: float | None) -> str | None:
    return None if value is None else repr(float(value))
