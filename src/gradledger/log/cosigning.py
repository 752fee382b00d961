"""Ask witnesses to cosign: the request, and what becomes of the answer.

A request carries the size that the witness saw last, the consistency proof from there, and the
checkpoint. Its text form can be carried to a witness on another machine.

Source:
    C2SP tlog-witness, section add-checkpoint.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from gradledger.errors import LogError
from gradledger.log.checkpoint import Checkpoint, parse_decimal
from gradledger.log.description import LOG_FOLDER
from gradledger.log.head import write_head
from gradledger.log.keys import VerifierKey, strict_base64
from gradledger.log.note import MAX_NOTE_BYTES, NoteSignature
from gradledger.log.reader import LogReader
from gradledger.merkle import HASH_BYTES
from gradledger.segment import RunLock

_OLD: Final = "old "
_MAX_PROOF_HASHES: Final = 63


@dataclass(frozen=True)
class CosignRequest:
    """What a witness is asked to cosign.

    Attributes:
        old_size: Tree size that the witness cosigned last; 0 where it saw none.
        proof: Consistency proof from there to the checkpoint.
        checkpoint: The signed checkpoint.
    """

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint

    def __bytes__(self) -> bytes:
        """Return the body of an ``add-checkpoint`` request."""
        hashes = [base64.b64encode(item).decode() for item in self.proof]
        return "\n".join([f"{_OLD}{self.old_size}", *hashes, "", str(self.checkpoint)]).encode()

    @staticmethod
    def parse(content: bytes) -> CosignRequest:
        """Read such a body.

        Raises:
            LogError: The request (L141) or its checkpoint (L111, L113) is malformed.
        """
        top, _, rest = content[:MAX_NOTE_BYTES].partition(b"\n\n")
        lines = top.decode("utf-8", "replace").split("\n")
        old_size = parse_decimal(lines[0].removeprefix(_OLD))
        proof = [strict_base64(line) or b"" for line in lines[1:]]
        odd = any(len(item) != HASH_BYTES for item in proof) or len(proof) > _MAX_PROOF_HASHES
        if old_size is None or not lines[0].startswith(_OLD) or odd:
            raise refusal(400, "a malformed request", "old size, hashes, blank line, checkpoint")
        return CosignRequest(old_size, tuple(proof), Checkpoint.parse(rest))


class RefusedError(LogError):
    """A witness that refuses.

    Attributes:
        status: Status that the protocol names, such as 409.
        last_size: Tree size that it cosigned last, where it says so.
    """

    status: int = 0
    last_size: int | None = None


class Cosigner(Protocol):
    """Whatever cosigns: a directory, or a client of a witness elsewhere."""

    @property
    def verifier(self) -> VerifierKey:
        """Its public key."""

    def last_size(self, origin: str) -> int:
        """Return the tree size of a log that it cosigned last; 0 for none."""

    def cosign(self, request: CosignRequest) -> Sequence[NoteSignature]:
        """Cosign, or raise ``LogError`` L141."""


def cosign_log(run_dir: Path, witness: Cosigner) -> Checkpoint:
    """Have a witness cosign the last checkpoint of a log that nobody is writing. Needs no key.

    Args:
        run_dir: The run.
        witness: The witness.

    Returns:
        The checkpoint with the cosignature, as it is stored now.

    Raises:
        LogError: The witness refuses, or its answer does not hold (L141, L112); the log is damaged
            or unsigned (L132, L141).
        StorageError: The log is being written (S111), or the disk refuses (S112, S113).
    """
    with RunLock(Path(run_dir) / LOG_FOLDER):
        return cosigned_head(LogReader(run_dir), witness)


def cosigned_head(reader: LogReader, witness: Cosigner) -> Checkpoint:
    """Ask a witness and store its cosignature; the caller holds the log.

    Raises:
        LogError: As for ``cosign_log``.
        StorageError: The disk refuses. Codes S112 and S113.
    """
    head = reader.checkpoint
    if head.note is None:
        raise refusal(403, "an unsigned log", "a checkpoint signed by the log")
    answer = _ask(reader, head, witness)
    own = witness.verifier
    note = head.note
    given = [item for item in answer if (item.name, item.key_id) == (own.name, own.key_id)]
    for signature in given:
        note = note.with_signature(signature)
    if not given or not note.verify([own]):
        raise refusal(502, "an answer without its cosignature", str(own))
    head = replace(head, note=note)
    write_head(reader.log_dir, head)
    return head


def refusal(
    status: int, observed: str, expected: str, *, last_size: int | None = None
) -> RefusedError:
    """Return the error of a witness that refuses, with the status that its protocol names."""
    error = RefusedError(
        "L141",
        observed=f"{observed} (status {status})",
        expected=expected,
        where="witness",
        hint="if the log was restored from an old copy, find the newest one before going on",
    )
    error.status, error.last_size = status, last_size
    return error


def _ask(reader: LogReader, head: Checkpoint, witness: Cosigner) -> Sequence[NoteSignature]:
    """Ask a witness; once more where it says which size it saw last."""
    old_size = witness.last_size(head.origin)
    while True:
        if old_size > head.size:
            expected = f"{old_size} or more, which the witness saw"
            raise refusal(409, f"tree size {head.size}", expected, last_size=old_size)
        proof = tuple(reader.consistency_proof(old_size))
        try:
            return witness.cosign(CosignRequest(old_size, proof, head))
        except RefusedError as error:
            if error.last_size is None or error.last_size <= old_size:
                raise
            old_size = error.last_size
