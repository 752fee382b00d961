"""The certificate of an erasure: what was asked, what was executed, and what remains elsewhere.

It is a statement about the model that training without the examples gives, and only an executed
replay leads to one. It lies in the run, a leaf of the log names its file, and states that are
removed with it have leaves of their own, so that verification tells them from missing ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gradledger.canon import leaf_bytes, record_digest
from gradledger.errors import LogError
from gradledger.evidence.dsse import Envelope, statement
from gradledger.evidence.model_digest import ModelDigest
from gradledger.log import (
    LOG_FOLDER,
    Log,
    LogDescription,
    SigningKey,
    file_entry,
    write_manifest,
)
from gradledger.query import Elsewhere, Records
from gradledger.schema import ErasureLeaf, FileDigest
from gradledger.segment import (
    AtomicFile,
    RunLock,
    cannot_write,
    ensure_folder,
    remove_folder,
    write_bytes_atomic,
)

ERASURE_TYPE: Final = "urn:gradledger:erasure:v1"
ERASURES: Final = "erasures"
#: What the leaves of an erasure say was erased.
ERASED_EXAMPLES: Final = "examples"
ERASED_STATE: Final = "state"

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


@dataclass(frozen=True)
class Certified:
    """A certificate that was issued.

    Attributes:
        path: Its file in the run.
        sha256: Digest of the file.
        leaf: Index of its leaf in the log.
        model: Folder of the model, which holds nothing else.
        removed: What was removed with it.
        record: The statement.
    """

    path: Path
    sha256: str
    leaf: int
    model: Path
    removed: tuple[str, ...]
    record: dict[str, Any]


def issue_erasure(
    records: Records,
    result: Mapping[str, Any],
    model_file: Path,
    request: Request,
    remains: Remains,
    key: SigningKey,
    *,
    remove: bool = False,
) -> Certified:
    """Write the certificate of an executed erasure into a run and its log, with its model beside.

    Args:
        records: The run; nobody may be recording it.
        result: What the executed replay came to.
        model_file: The model that it ended in.
        request: What was asked for.
        remains: What is left elsewhere.
        key: Signs the certificate, and the log where it is signed.
        remove: Remove the stored states and models that contain the erased.

    Raises:
        LogError: The run has no log (L132), or the key is not the one that signs it (L136).
        StorageError: Somebody writes the run (S111), or the disk refuses (S112, S113).
    """
    run_dir, run_id = records.path, records.begin.run_id
    signed = LogDescription.read(run_dir / LOG_FOLDER).signed
    with RunLock(run_dir), Log.open(run_dir, key if signed else None) as log:
        leaf_index = log.size
        removed = (*remains.states, *remains.models) if remove else ()
        record = certificate(records, result, model_file, request, remains, removed)
        record["predicate"]["log"] = {"leaf": leaf_index, "origin": log.origin, "signed": signed}
        kept = _keep_model(run_dir, leaf_index, model_file)
        path, sha256 = _write(run_dir, leaf_index, bytes(Envelope.sign(record, key)))
        entry = file_entry(run_dir, path.relative_to(run_dir).as_posix())
        log.append(
            leaf_bytes(
                ErasureLeaf(
                    run_id=run_id,
                    files=(FileDigest(entry.path, entry.num_bytes, entry.sha256),),
                    recorded_at=moment(),
                    what=ERASED_EXAMPLES,
                    scope=f"{len(request.rows)} examples",
                    reason=request.reason,
                )
            )
        )
        # Before anything goes, the log says that it goes: a crash leaves a state too many.
        for name in remains.states if remove else ():
            log.append(
                leaf_bytes(
                    ErasureLeaf(
                        run_id=run_id,
                        recorded_at=moment(),
                        what=ERASED_STATE,
                        scope=name,
                        reason=f"certificate {sha256}",
                    )
                )
            )
        log.publish()
        if remove:
            _remove(run_dir, remains)
        write_manifest(run_dir)
    return Certified(path, sha256, leaf_index, kept, removed, record)


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


def _keep_model(run_dir: Path, number: int, model_file: Path) -> Path:
    """Keep the model in a folder of its own, which replays do not touch."""
    folder = run_dir.with_name(f"{run_dir.name}.erased") / f"{number:06d}"
    ensure_folder(folder)
    with AtomicFile(folder / model_file.name) as file:
        file.write(model_file.read_bytes())
    return folder


def _write(run_dir: Path, number: int, content: bytes) -> tuple[Path, str]:
    folder = run_dir / ERASURES
    ensure_folder(folder)
    path = folder / f"{number:06d}.intoto.jsonl"
    if path.exists():
        # A crash came between file and leaf: what nobody names is written anew.
        path.unlink()
    write_bytes_atomic(path, content)
    return path, hashlib.sha256(content).hexdigest()


def _remove(run_dir: Path, remains: Remains) -> None:
    """Remove states, weights and models; what is gone already is not missed."""
    beside = run_dir.with_name(run_dir.name + ".replays")
    for path in (*(run_dir / name for name in remains.states),
                 *(beside / name for name in remains.models)):  # fmt: skip
        try:
            if path.is_dir():
                remove_folder(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error


def needs_key() -> LogError:
    """Return the error for an erasure without a key."""
    return LogError(
        "L103",
        observed="no key",
        expected="the key that signs the certificate, and the log where it is signed",
        where="erase",
        hint="make one with gradledger key generate, and name it with --key",
    )
