"""Issue the certificate of an erasure: into the run, with a leaf of the log that names its file.

States that are removed with it have leaves of their own, so that verification tells them from
missing ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.canon import leaf_bytes
from gradledger.errors import LogError
from gradledger.evidence.certificate import Remains, Request, certificate, moment
from gradledger.evidence.dsse import Envelope
from gradledger.log import (
    LOG_FOLDER,
    Log,
    LogDescription,
    SigningKey,
    file_entry,
    write_manifest,
)
from gradledger.query import Records
from gradledger.schema import ErasureLeaf, FileDigest
from gradledger.segment import (
    AtomicFile,
    RunLock,
    cannot_write,
    ensure_folder,
    remove_folder,
    write_bytes_atomic,
)

ERASURES: Final = "erasures"
#: What the leaves of an erasure say was erased.
ERASED_EXAMPLES: Final = "examples"
ERASED_STATE: Final = "state"


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
