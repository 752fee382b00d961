"""The last checkpoint of a log, and all earlier ones, as files.

``checkpoint`` is the last; ``checkpoints/N`` keeps that of every size N, so that signatures and
witnesses of old sizes can still be shown. A log without a key writes ``checkpoint.unsigned``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from gradledger.errors import LogError
from gradledger.log.checkpoint import Checkpoint
from gradledger.log.description import LogDescription
from gradledger.log.keys import SigningKey
from gradledger.log.last_signed import claim_signature
from gradledger.log.note import Note
from gradledger.merkle import NodeReader
from gradledger.segment import cannot_read, write_bytes_atomic

CHECKPOINT_NAME: Final = "checkpoint"
UNSIGNED_NAME: Final = "checkpoint.unsigned"
HISTORY_FOLDER: Final = "checkpoints"


def head_path(log_dir: Path, *, signed: bool) -> Path:
    """Return the file of the last checkpoint; that of an unsigned log bears another name."""
    return log_dir / (CHECKPOINT_NAME if signed else UNSIGNED_NAME)


def read_head(log_dir: Path, description: LogDescription) -> Checkpoint:
    """Return the last checkpoint of a log; signatures are not checked.

    Raises:
        LogError: It lacks or is another log's (L132), or is malformed (L111, L113).
        StorageError: It cannot be read. Code S113.
    """
    path = head_path(log_dir, signed=description.signed)
    try:
        head = Checkpoint.parse(path.read_bytes())
    except FileNotFoundError as error:
        raise _unreadable("no checkpoint", "one, since even an empty log has it", path) from error
    except OSError as error:
        raise cannot_read(path, error) from error
    if head.origin != description.origin or head.signed != description.signed:
        kind = "signed" if head.signed else "unsigned"
        raise _unreadable(f"{kind} lines of {head.origin}", f"those of {description.origin}", path)
    return head


def write_head(log_dir: Path, head: Checkpoint) -> None:
    """Write a checkpoint to the history and make it the last one.

    Raises:
        StorageError: The disk refuses. Code S112.
    """
    write_bytes_atomic(log_dir / HISTORY_FOLDER / str(head.size), bytes(head))
    write_bytes_atomic(head_path(log_dir, signed=head.signed), bytes(head))


def release_head(
    log_dir: Path, head: Checkpoint, signer: SigningKey | None, read_node: NodeReader
) -> Checkpoint:
    """Sign a head, if there is a key, and write it.

    Args:
        log_dir: Folder of the log.
        head: Origin, size and root hash; signatures that it carries are kept.
        signer: Key under the log's origin; None for an unsigned log.
        read_node: Nodes of the tree of that size.

    Raises:
        LogError: The head would contradict one signed before. Code L134.
        StorageError: The disk refuses; no signature left this function. Codes S112 and S113.
    """
    if signer is not None:
        claim_signature(head, read_node, log_dir, signer)
        note = head.note or Note(head.text, ())
        head = replace(head, note=note.signed_by(signer))
    write_head(log_dir, head)
    return head


def _unreadable(observed: str, expected: str, path: Path) -> LogError:
    return LogError(
        "L132",
        observed=observed,
        expected=expected,
        where=str(path),
        hint="verify the run, and restore the log from a copy",
    )
