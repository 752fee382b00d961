"""A witness in a directory: it keeps the last size and root hash of each log, and nothing else.

On another disk, machine or account than the log's, that is enough to stop the log's owner from
rewriting or cutting what was cosigned.

Source:
    C2SP tlog-witness and tlog-cosignature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from gradledger.errors import LogError
from gradledger.log.cosigning import CosignRequest, refusal
from gradledger.log.keys import KeyKind, SigningKey, VerifierKey
from gradledger.log.last_signed import LastSigned, read_last_signed
from gradledger.log.note import NoteSignature
from gradledger.merkle import EMPTY_ROOT, check_consistency
from gradledger.segment import RunLock, cannot_write, make_folder, write_bytes_atomic


class DirectoryWitness:
    """Cosigns checkpoints that extend what it cosigned before.

    Args:
        folder: Where it remembers; made if it lacks. One folder per witness key.
        key: A witness's key.
        log_keys: Keys of the logs that it knows. Each vouches for the origin that it is named as,
            and for those below it: the key ``example.org/lab`` for ``example.org/lab/RUN``.

    Raises:
        LogError: The key is not a witness's. Code L136.
    """

    def __init__(self, folder: Path, key: SigningKey, log_keys: Iterable[VerifierKey]) -> None:
        if key.kind is not KeyKind.WITNESS:
            raise LogError(
                "L136",
                observed="a log's key",
                expected="a witness's key",
                where=str(folder),
                hint="generate one with SigningKey.generate(name, KeyKind.WITNESS)",
            )
        self._folder, self._key = Path(folder), key
        self._log_keys = tuple(log_keys)

    @property
    def verifier(self) -> VerifierKey:
        """Its public key."""
        return self._key.verifier

    def last_size(self, origin: str) -> int:
        """Return the tree size of a log that it cosigned last; 0 for none.

        Raises:
            LogError: Its memory is damaged. Code L132.
            StorageError: It cannot be read. Code S113.
        """
        last = read_last_signed(self._path(origin))
        return last.size if last else 0

    def cosign(self, request: CosignRequest, moment: int | None = None) -> list[NoteSignature]:
        """Check a checkpoint against memory, remember it, and cosign it.

        Args:
            request: The checkpoint and the proof that it extends what was seen.
            moment: POSIX time to sign; None for now.

        Raises:
            LogError: Unknown log, no valid signature, another old size, or a proof that does not
                hold. Code L141.
            StorageError: Another process uses the folder (S111), or the disk refuses (S112, S113);
                nothing was signed.
        """
        head, origin = request.checkpoint, request.checkpoint.origin
        self._check_signature(request)
        try:
            make_folder(self._folder)
        except OSError as error:
            raise cannot_write(self._folder, error) from error
        with RunLock(self._folder):
            last = read_last_signed(self._path(origin)) or LastSigned(origin, 0, EMPTY_ROOT)
            if request.old_size > head.size:
                raise refusal(400, f"the old size {request.old_size}", f"at most {head.size}")
            if request.old_size != last.size:
                observed, expected = f"the old size {request.old_size}", f"{last.size}, seen last"
                raise refusal(409, observed, expected, last_size=last.size)
            if head.size == last.size and head.root != last.root:
                observed, expected = (
                    f"the root {head.root.hex()}",
                    f"{last.root.hex()}, seen before",
                )
                raise refusal(409, observed, expected, last_size=last.size)
            flaw = check_consistency(last.size, head.size, request.proof, last.root, head.root)
            if flaw:
                raise refusal(422, str(flaw), f"an extension of size {last.size}")
            memory = LastSigned(origin, head.size, head.root)
            write_bytes_atomic(self._path(origin), bytes(memory))
        made = self._key.sign(head.text.encode(), moment)
        return [NoteSignature(self._key.name, self.verifier.key_id, made)]

    def _check_signature(self, request: CosignRequest) -> None:
        head = request.checkpoint
        vouching = (key.vouching_for(head.origin) for key in self._log_keys)
        keys = [key for key in vouching if key is not None]
        if not keys:
            raise refusal(404, f"the log {head.origin}", "a log that this witness knows")
        try:
            signers = head.note.verify(keys) if head.note else []
        except LogError as error:
            raise refusal(403, error.observed, error.expected) from error
        if not signers:
            raise refusal(403, "no signature by a known key", str(keys[0]))

    def _path(self, origin: str) -> Path:
        return _memory_path(self._folder, origin)


def last_witnessed(folder: Path, origin: str) -> LastSigned | None:
    """Return what a witness saw last of a log; None where it saw nothing. Needs no key.

    Raises:
        LogError: Its memory is damaged. Code L132.
        StorageError: It cannot be read. Code S113.
    """
    return read_last_signed(_memory_path(Path(folder), origin))


def _memory_path(folder: Path, origin: str) -> Path:
    return folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.json"
