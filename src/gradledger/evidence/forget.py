"""Destroy the salt of a source: its contents can no longer be told from their commitments.

Proofs stay valid, since they rest on the commitments and not on what these stand for. The erasure
is a leaf of the log, written before the salt goes: a crash in between leaves a salt that the next
call destroys, never an erasure that nobody recorded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gradledger.canon import leaf_bytes
from gradledger.errors import GradledgerError, LogError
from gradledger.evidence.logged import LoggedRun
from gradledger.log import (
    DESCRIPTION_NAME,
    LOG_FOLDER,
    PRIVATE_FOLDER,
    Log,
    LogDescription,
    SigningKey,
)
from gradledger.schema import ErasureLeaf
from gradledger.segment import RunLock, cannot_write, read_json, write_json

_SALTS: Final = "salts.json"
_RECORDS: Final = "erasures.json"
_OWNER_ONLY: Final = 0o600
#: Keys of the salts that are no sources begin so.
_RESERVED: Final = "\0"

#: What destroying a salt does not do.
LIMITS: Final = (
    "the weights of the model stay as they are, and with them what it learned from the source",
    "rows, decisions and metadata of the source stay, and with them paths and titles that tell",
    "copies of private/salts.json elsewhere, backups and snapshots of the disk are not reached",
    "evidence that was handed out before stays valid, and still shows the texts that it holds",
    "absence can no longer be proved for this source, nor can a replay compare its contents",
)


@dataclass(frozen=True)
class Forgotten:
    """What forgetting a source came to.

    Attributes:
        source: The source.
        leaf: Index of the erasure's leaf; None where the run has no log.
        destroyed: Whether a salt was there; False where it was gone already.
    """

    source: str
    leaf: int | None
    destroyed: bool


def forget_source(
    run_dir: Path, run_id: str, source: str, *, reason: str = "", key: SigningKey | None = None
) -> Forgotten:
    """Destroy the salt of a source, and record that.

    Args:
        run_dir: The run; nobody may be recording it.
        run_id: Its identifier.
        source: Name of the source.
        reason: Why, in plain words; it stands in the log, so it must name no person.
        key: Key that signs the log; None for a run whose log is unsigned, or that has none.

    Raises:
        LogError: There is no such source, or a key lacks (L183); or the log cannot go on (L132,
            L136).
        StorageError: Somebody writes the run (S111), or the disk refuses (S112, S113).
    """
    run_dir = Path(run_dir)
    with RunLock(run_dir):
        salts = _salts(run_dir)
        known = {name for name in salts if not name.startswith(_RESERVED)}
        index, logged = _existing(run_dir, source)
        if source not in known and index is None:
            raise _refused(
                f"no salt of {source!r:.80}", f"one of {', '.join(sorted(known)) or 'none left'}"
            )
        if logged and index is None:
            index = _record(run_dir, run_id, source, reason, key)
        if source in known:
            _note(run_dir, source, reason)
            _destroy(run_dir, {name: salt for name, salt in salts.items() if name != source})
        return Forgotten(source, index, source in known)


def _salts(run_dir: Path) -> dict[str, Any]:
    try:
        stored = read_json(run_dir / PRIVATE_FOLDER / _SALTS)
    except GradledgerError as error:
        raise _refused(error.observed, "the private salts of the run") from error
    if not isinstance(stored, dict):
        raise _refused(f"a {type(stored).__name__}", "the private salts of the run")
    return stored


def _existing(run_dir: Path, source: str) -> tuple[int | None, bool]:
    """Return the leaf of an earlier erasure of the source, and whether the run has a log."""
    if not (run_dir / LOG_FOLDER / DESCRIPTION_NAME).exists():
        return None, False
    for index, leaf in LoggedRun(run_dir).of_kind(ErasureLeaf):
        if (leaf.what, leaf.scope) == ("salt", source):
            return index, True
    return None, True


def _record(run_dir: Path, run_id: str, source: str, reason: str, key: SigningKey | None) -> int:
    description = LogDescription.read(run_dir / LOG_FOLDER)
    if description.signed and key is None:
        raise _refused("a signed log and no key", "the key that signs it, to record the erasure")
    leaf = ErasureLeaf(run_id=run_id, recorded_at=_now(), what="salt", scope=source, reason=reason)
    with Log.open(run_dir, key) as log:
        index = log.append(leaf_bytes(leaf))
        log.publish()
    return index


def _note(run_dir: Path, source: str, reason: str) -> None:
    """Keep a record beside the salts too: a run without a log has no other."""
    place = run_dir / PRIVATE_FOLDER / _RECORDS
    earlier = read_json(place) if place.exists() else []
    made = {"reason": reason, "recorded_at": _now(), "scope": source, "what": "salt"}
    write_json(place, [*earlier, made], mode=_OWNER_ONLY)


def _destroy(run_dir: Path, kept: dict[str, Any]) -> None:
    """Replace the salts by those that are kept, then overwrite the old bytes where they lay."""
    place = run_dir / PRIVATE_FOLDER / _SALTS
    try:
        with place.open("r+b") as old:
            write_json(place, kept, mode=_OWNER_ONLY)
            length = old.seek(0, os.SEEK_END)
            old.seek(0)
            old.write(bytes(length))
            old.flush()
            os.fsync(old.fileno())
    except OSError as error:
        raise cannot_write(place, error) from error


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refused(observed: str, expected: str) -> LogError:
    return LogError(
        "L183",
        observed=observed,
        expected=expected,
        where="forget",
        hint="see `gradledger info RUN` and the names in private/salts.json",
    )
