"""Who signed and witnessed a log, key by key, and every checkpoint that it published.

Nothing here decides whether a run is sound: that is verification. These are the log's own words,
with each signature tried against the keys that are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gradledger.errors import GradledgerError
from gradledger.log import (
    HISTORY_FOLDER,
    LOG_FOLDER,
    Checkpoint,
    KeyKind,
    LogReader,
    NoteSignature,
    QuorumPolicy,
    VerifierKey,
    has_log,
)
from gradledger.query import Answer, Column, Table

#: Checkpoints that are listed, the latest first.
_MAX_CHECKPOINTS: Final = 200

_KINDS: Final[dict[KeyKind, str]] = {KeyKind.LOG: "log", KeyKind.WITNESS: "witness"}
_TIME_BYTES: Final = 8
_NO_ANCHOR: Final = (
    "a key that stands in the log itself anchors nothing: whoever rewrites a log rewrites it too; "
    "give the key, or a quorum of witnesses, from elsewhere"
)
_OWN: Final = "the log itself: a convenience, no anchor"
_GIVEN: Final = "given from elsewhere"


def signatures(
    run_dir: Path, keys: Sequence[VerifierKey] = (), quorum: QuorumPolicy | None = None
) -> Answer:
    """Return who signed the last checkpoint of a run's log, and every earlier checkpoint.

    Args:
        run_dir: The run.
        keys: Verifier keys from elsewhere.
        quorum: Which witnesses must have cosigned; its keys are known too.

    Returns:
        Tables ``signatures``, ``keys`` and ``checkpoints``; empty where the run has no log.
        ``findings`` counts signatures of known keys that do not hold, and a quorum not reached.

    Raises:
        LogError: The log's description or checkpoint is malformed (L111, L113, L132).
        StorageError: A file cannot be read. Code S113.
    """
    if not has_log(run_dir):
        return _answer({"log": "none: nobody can have signed this run"}, [], [], [], 0)
    reader = LogReader(run_dir)
    head = reader.checkpoint
    known = _known(reader, keys, quorum)
    rows = [_signature(head, item, known) for item in head.note.signatures] if head.note else []
    objection = quorum.objection(head) if quorum else None
    facts = {
        "origin": reader.origin,
        "leaves": head.size,
        "root hash": head.root.hex(),
        "signed": "yes" if head.signed else "no: only later copies can show an alteration",
    }
    if quorum is not None:
        facts["quorum"] = objection or f"reached: {quorum.quorum}"
    wrong = sum(row[-1] == "does not hold" for row in rows) + (objection is not None)
    listed = [
        (key.name, _KINDS[key.kind], key.key_id.hex(), origin, str(key)) for key, origin in known
    ]
    return _answer(facts, rows, listed, _checkpoints(Path(run_dir)), wrong)


def _answer(
    facts: Mapping[str, object],
    rows: Sequence[tuple[object, ...]],
    keys: Sequence[tuple[object, ...]],
    checkpoints: Sequence[tuple[object, ...]],
    wrong: int,
) -> Answer:
    return Answer(
        question="signatures",
        title="Signatures: who signed and witnessed the log",
        kind="accounting",
        facts=dict(facts),
        tables=(
            Table(
                "signatures",
                "Signatures of the last checkpoint",
                (
                    Column("name", "by", wraps=True),
                    Column("kind", "kind"),
                    Column("key_id", "key id"),
                    Column("moment", "cosigned at"),
                    Column("known", "key from", wraps=True),
                    Column("holds", "signature"),
                ),
                tuple(rows),
            ),
            Table(
                "keys",
                "Keys that are known",
                (
                    Column("name", "name"),
                    Column("kind", "kind"),
                    Column("key_id", "key id"),
                    Column("known", "from", wraps=True),
                    Column("key", "verifier key", wraps=True),
                ),
                tuple(keys),
            ),
            Table(
                "checkpoints",
                "Checkpoints: what the log published, the latest first",
                (
                    Column("leaves", "leaves", "integer"),
                    Column("root", "root hash", wraps=True),
                    Column("signatures", "signatures", "integer"),
                    Column("problem", "problem", wraps=True),
                ),
                tuple(checkpoints),
            ),
        ),
        notes=(
            _NO_ANCHOR,
            "a witness cosigns only what extends all that it saw before; its time is its own clock",
        ),
        findings=wrong,
    )


def _known(
    reader: LogReader, keys: Sequence[VerifierKey], quorum: QuorumPolicy | None
) -> list[tuple[VerifierKey, str]]:
    """Return every known key with where it comes from; those from elsewhere first."""
    found: dict[tuple[str, bytes], tuple[VerifierKey, str]] = {}
    given = [
        *keys,
        *(quorum.logs if quorum else ()),
        *(quorum.witnesses.values() if quorum else ()),
    ]
    for key in given:
        named = key.vouching_for(reader.origin) if key.kind is KeyKind.LOG else key
        if named is not None:
            found.setdefault((named.name, named.key_id), (named, _GIVEN))
    for key in reader.description.keys:
        found.setdefault((key.name, key.key_id), (key, _OWN))
    return list(found.values())


def _signature(
    head: Checkpoint, item: NoteSignature, known: Sequence[tuple[VerifierKey, str]]
) -> tuple[object, ...]:
    for key, origin in known:
        if (key.name, key.key_id) == (item.name, item.key_id):
            holds = "holds" if key.holds(item.signature, head.text.encode()) else "does not hold"
            moment = _moment(item) if key.kind is KeyKind.WITNESS else ""
            return (item.name, _KINDS[key.kind], item.key_id.hex(), moment, origin, holds)
    return (item.name, "", item.key_id.hex(), "", "", "not checked: the key is not known")


def _moment(item: NoteSignature) -> str:
    seconds = int.from_bytes(item.signature[:_TIME_BYTES], "big")
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return "a time that does not exist"


def _checkpoints(run_dir: Path) -> list[tuple[object, ...]]:
    folder = run_dir / LOG_FOLDER / HISTORY_FOLDER
    if not folder.is_dir():
        return []
    sizes = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
    rows: list[tuple[object, ...]] = []
    for size in sizes[::-1][:_MAX_CHECKPOINTS]:
        try:
            found = Checkpoint.parse((folder / str(size)).read_bytes())
        except (OSError, GradledgerError) as error:
            rows.append((size, None, None, str(error).splitlines()[0][:200]))
            continue
        count = len(found.note.signatures) if found.note else 0
        odd = "" if found.size == size else f"says that it has {found.size} leaves"
        rows.append((size, found.root.hex(), count, odd))
    return rows
