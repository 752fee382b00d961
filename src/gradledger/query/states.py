"""The stored model states of a run: where they lie, what they are, and whether they still are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gradledger.errors import GradledgerError
from gradledger.log import manifest_entries
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.records import Records
from gradledger.query.stored_states import (
    MODEL_FILE,
    STATE_FILE,
    read_state_record,
    state_folder,
    stored_steps,
)
from gradledger.state import model_file_digest

_COLUMNS = (
    Column("step", "after step", "integer"),
    Column("digest", "digest of the model"),
    Column("num_bytes", "bytes", "integer"),
    Column("fingerprint", "fingerprint", in_text=False),
    Column("check", "check"),
    Column("folder", "folder", in_text=False),
)

_DIGEST = (
    "after step 0: the opening balance; digest: SHA-256 over names, formats, shapes and bytes of "
    "all parameters and buffers"
)
_CHECK = (
    "check: every file digested again, compared with state.json, with the fingerprint of the "
    "step, and at both ends with the digests in run.json and end.json"
)
_CHUNK_BYTES = 1 << 20


def states(records: Records, *, check: bool = True) -> Answer:
    """List the stored model states.

    Args:
        records: The run.
        check: Digest every file again and compare with the state's own record and with the run's.

    Returns:
        Table ``states``, one row each. ``findings`` counts those that are not as recorded.
    """
    fingerprints = dict(records.ask("SELECT step, fingerprint_after FROM steps"))
    rows, findings = [], 0
    for step in stored_steps(records):
        folder = state_folder(records, step)
        record, wrong = _record(folder)
        if check and not wrong:
            wrong = _differences(records, step, folder, record, fingerprints.get(step))
            wrong = wrong or _record_differs(records, folder)
        findings += bool(wrong)
        rows.append(
            (
                step,
                record.get("model_digest"),
                sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
                record.get("fingerprint"),
                wrong or ("as recorded" if check else "not checked"),
                str(folder.relative_to(records.path)),
            )
        )
    return Answer(
        question="states",
        title="Stored model states",
        kind="accounting",
        facts={"states": len(rows), "bytes": sum(row[2] for row in rows)},
        tables=(Table("states", f"{len(rows)} states", _COLUMNS, tuple(rows)),),
        notes=(_DIGEST, _CHECK),
        findings=findings,
    )


def thinned(
    records: Records, removed: Sequence[int], kept: Mapping[int, str], num_bytes: int
) -> Answer:
    """Show which model states went and which stayed, and why."""
    rows = [(step, "removed", "") for step in removed]
    rows += [(step, "kept", why) for step, why in kept.items()]
    columns = (
        Column("step", "after step", "integer"),
        Column("what", "what"),
        Column("why", "why"),
    )
    return Answer(
        question="states",
        title=f"Thinned model states of {records.path.name}",
        kind="accounting",
        facts={"removed": len(removed), "kept": len(kept), "bytes freed": num_bytes},
        tables=(Table("states", f"{len(rows)} states", columns, tuple(sorted(rows))),),
        notes=(
            "the digest of every state that went stays in the log; verify reports it as thinned",
        ),
    )


def _record(folder: Path) -> tuple[dict[str, Any], str]:
    try:
        return read_state_record(folder), ""
    except GradledgerError as error:
        return {}, f"{STATE_FILE}: {error.observed}"


def _differences(
    records: Records, step: int, folder: Path, record: dict[str, Any], fingerprint: Any
) -> str:
    """Say what is not as recorded, in a few words; empty where everything is."""
    try:
        if altered := _altered(folder, record["files"]):
            return altered
        if model_file_digest(folder / MODEL_FILE) != record["model_digest"]:
            return f"{MODEL_FILE} holds another model"
    except (OSError, KeyError, AttributeError, GradledgerError) as error:
        return f"not readable: {type(error).__name__}"
    if fingerprint is not None and fingerprint != record.get("fingerprint"):
        return f"fingerprint is not that of step {step}"
    for place, end in _ends(records):
        if place == step and end != record["model_digest"]:
            return "digest is not the one that the run names"
    return ""


def _record_differs(records: Records, folder: Path) -> str:
    """Say whether the record of a state is not the one that the manifest of the run lists."""
    place = folder / STATE_FILE
    listed = manifest_entries(records.path).get(place.relative_to(records.path).as_posix())
    return f"{STATE_FILE} is altered" if listed and _sha256(place) != listed.sha256 else ""


def _altered(folder: Path, files: Mapping[str, str]) -> str:
    for name, digest in files.items():
        if "/" in name or "\\" in name:
            return f"a file name {name!r:.60}"
        if _sha256(folder / name) != digest:
            return f"{name} is altered"
    return ""


def _ends(records: Records) -> list[tuple[int, Any]]:
    """Return step and digest of the states that begin and end record name."""
    ends = [(0, records.begin.opening_balance.get("state_digest"))]
    if records.end is not None:
        ends.append((records.end.num_steps, records.end.final_digest))
    return [(step, digest) for step, digest in ends if digest]


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
