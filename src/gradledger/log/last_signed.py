"""What a log's key signed last, on the disk before a signature is released.

A log must never sign two heads of which neither extends the other. The note is kept twice: in the
run, and beside the key file. A run restored from an old copy brings back the first but not the
second, and the key refuses to sign history anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.canon import canonical_json, parse_json
from gradledger.errors import InputError, LogError
from gradledger.log.checkpoint import Checkpoint
from gradledger.log.keys import SigningKey
from gradledger.log.names import first_odd
from gradledger.merkle import HASH_BYTES, NodeReader, tree_root
from gradledger.segment import cannot_read, write_bytes_atomic

LAST_SIGNED_FORMAT: Final = "gradledger.last-signed/1"
LAST_SIGNED_NAME: Final = "last-signed.json"


@dataclass(frozen=True)
class LastSigned:
    """A tree size and root hash that was, or was about to be, signed."""

    origin: str
    size: int
    root: bytes

    def __bytes__(self) -> bytes:
        """Return the file's content."""
        record = {
            "format": LAST_SIGNED_FORMAT,
            "origin": self.origin,
            "root_hash": self.root.hex(),
            "tree_size": self.size,
        }
        return canonical_json(record) + b"\n"

    @staticmethod
    def parse(content: bytes, where: str) -> LastSigned:
        """Read the file's content.

        Raises:
            LogError: It is not what this version writes. Code L132.
        """
        try:
            record: Any = parse_json(content, where)
            found = LastSigned(
                str(record["origin"]), int(record["tree_size"]), bytes.fromhex(record["root_hash"])
            )
        except (InputError, TypeError, ValueError, KeyError) as error:
            raise _malformed(f"another form: {error}".splitlines()[0][:200], where) from error
        if bytes(found) != content:
            raise _malformed(f"another spelling at byte {first_odd(bytes(found), content)}", where)
        if found.size < 0 or len(found.root) != HASH_BYTES:
            raise _malformed(f"size {found.size}, root hash {found.root.hex()}", where)
        return found


def last_signed_paths(log_dir: Path, origin: str, key: SigningKey | None) -> list[Path]:
    """Return the files that say what was signed last: in the run and, if any, beside the key."""
    paths = [log_dir / LAST_SIGNED_NAME]
    if key is not None and key.path is not None:
        name = hashlib.sha256(origin.encode()).hexdigest()
        paths.append(key.path.with_name(f"{key.path.name}.signed") / f"{name}.json")
    return paths


def read_last_signed(path: Path) -> LastSigned | None:
    """Return what a file says; None where there is none.

    Raises:
        LogError: The file is malformed. Code L132.
        StorageError: The file cannot be read. Code S113.
    """
    try:
        return LastSigned.parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_read(path, error) from error


def claim_signature(
    head: Checkpoint, read_node: NodeReader, log_dir: Path, key: SigningKey
) -> None:
    """Note that a head is about to be signed, if it extends all that was signed before.

    Args:
        head: The head.
        read_node: Nodes of the tree of its size.
        log_dir: Folder of the log.
        key: The key that will sign.

    Raises:
        LogError: The head does not extend what was signed last. Code L134.
        StorageError: The disk refuses; nothing may be signed. Codes S112 and S113.
    """
    paths = last_signed_paths(log_dir, head.origin, key)
    for path in paths:
        last = read_last_signed(path)
        if last is not None:
            _refuse_contradiction(last, head, read_node, path)
    for path in paths:
        write_bytes_atomic(path, bytes(LastSigned(head.origin, head.size, head.root)))


def _refuse_contradiction(
    last: LastSigned, head: Checkpoint, read_node: NodeReader, path: Path
) -> None:
    if last.origin != head.origin:
        observed = f"the log {head.origin}"
    elif last.size > head.size:
        observed = f"tree size {head.size}"
    elif tree_root(last.size, read_node) != last.root:
        observed = f"another root hash at tree size {last.size}"
    else:
        return
    raise LogError(
        "L134",
        observed=observed,
        expected=f"an extension of size {last.size}, root {last.root.hex()} of {last.origin}",
        where=str(path),
        hint="restore the newest copy of the log, or begin a new run under another origin",
    )


def _malformed(observed: str, where: str) -> LogError:
    return LogError(
        "L132",
        observed=observed,
        expected=f"a {LAST_SIGNED_FORMAT} as it was written",
        where=where,
        hint="verify the run before signing anything more",
    )
