"""Receipts: what proves offline that a leaf is in a log.

A receipt is one text: index, inclusion proof and checkpoint. The leaf itself travels beside it. The
receipt of an unsigned log has another first line and another suffix, so that no reader of the
standard format takes it for a signed one.

Source:
    C2SP tlog-proof.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gradledger.errors import LogError
from gradledger.log.checkpoint import Checkpoint, parse_decimal
from gradledger.log.keys import VerifierKey, strict_base64
from gradledger.log.note import MAX_NOTE_BYTES
from gradledger.merkle import HASH_BYTES, Flaw, check_inclusion, leaf_hash

RECEIPT_HEAD: Final = "c2sp.org/tlog-proof@v1"
RECEIPT_SUFFIX: Final = ".tlog-proof"
UNSIGNED_RECEIPT_HEAD: Final = "gradledger.unsigned-proof/1"
UNSIGNED_RECEIPT_SUFFIX: Final = ".unsigned-proof"

_MAX_PROOF_HASHES: Final = 63
_EXTRA: Final = "extra "
_INDEX: Final = "index "


@dataclass(frozen=True)
class Receipt:
    """Proof that a leaf is in a log.

    Attributes:
        index: Place of the leaf.
        proof: Inclusion proof.
        checkpoint: The checkpoint that the proof leads to.
        extra: Further data; nothing vouches for it.
    """

    index: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint
    extra: bytes = b""

    @property
    def suffix(self) -> str:
        """Suffix of the file that holds it."""
        return RECEIPT_SUFFIX if self.checkpoint.signed else UNSIGNED_RECEIPT_SUFFIX

    def __str__(self) -> str:
        """Return the text form."""
        head = RECEIPT_HEAD if self.checkpoint.signed else UNSIGNED_RECEIPT_HEAD
        lines = [head]
        if self.extra:
            lines.append(_EXTRA + base64.b64encode(self.extra).decode())
        lines.append(f"{_INDEX}{self.index}")
        lines += [base64.b64encode(item).decode() for item in self.proof]
        return "\n".join([*lines, "", str(self.checkpoint)])

    def __bytes__(self) -> bytes:
        """Return the same in UTF-8."""
        return str(self).encode()

    @staticmethod
    def parse(content: bytes) -> Receipt:
        """Read a receipt.

        Raises:
            LogError: The receipt (L161) or its checkpoint (L111, L113) is malformed.
        """
        if len(content) > MAX_NOTE_BYTES:
            raise _malformed(f"{len(content)} bytes")
        try:
            top, blank, rest = content.decode("utf-8").partition("\n\n")
        except UnicodeDecodeError as error:
            raise _malformed("bytes that are no text") from error
        if not blank:
            raise _malformed("no blank line before a checkpoint")
        checkpoint = Checkpoint.parse(rest.encode())
        lines = top.split("\n")
        head = RECEIPT_HEAD if checkpoint.signed else UNSIGNED_RECEIPT_HEAD
        if lines.pop(0) != head:
            raise _malformed(f"another first line than {head!r}")
        extra = _take_extra(lines)
        index = parse_decimal(lines[0].removeprefix(_INDEX)) if lines else None
        if index is None or not lines.pop(0).startswith(_INDEX):
            raise _malformed("no line 'index N'")
        if len(lines) > _MAX_PROOF_HASHES:
            raise _malformed(f"{len(lines)} hashes")
        proof = [strict_base64(line) for line in lines]
        if any(item is None or len(item) != HASH_BYTES for item in proof):
            raise _malformed("a line that is no base64 of a hash")
        return Receipt(index, tuple(item for item in proof if item is not None), checkpoint, extra)

    def check(self, leaf: bytes, keys: Iterable[VerifierKey]) -> Flaw | None:
        """Check that the leaf is in the checkpoint's tree, and who signed that.

        Args:
            leaf: The leaf.
            keys: Keys of the log that the caller trusts, from elsewhere than the receipt; they are
                taken under the name of the receipt's origin only if they bear it.

        Returns:
            None where the proof holds, else why it does not.

        Raises:
            LogError: The checkpoint is unsigned, or none of the keys signed it, or a signature of
                one does not hold. Code L112.
        """
        signers = self.checkpoint.note.verify(keys) if self.checkpoint.note else []
        if not any(key.name == self.checkpoint.origin for key in signers):
            raise LogError(
                "L112",
                observed="no signature by a trusted key" if self.checkpoint.signed else "unsigned",
                expected=f"a checkpoint of {self.checkpoint.origin} signed by a trusted key",
                where="receipt",
                hint="give the log's verifier key, obtained from its owner",
            )
        return self.check_inclusion(leaf)

    def check_inclusion(self, leaf: bytes) -> Flaw | None:
        """Check the inclusion proof alone, whoever signed the checkpoint.

        Returns:
            None where it holds, else why it does not.
        """
        head = self.checkpoint
        return check_inclusion(leaf_hash(leaf), self.index, head.size, self.proof, head.root)


def _take_extra(lines: list[str]) -> bytes:
    if not lines or not lines[0].startswith(_EXTRA):
        return b""
    extra = strict_base64(lines.pop(0).removeprefix(_EXTRA))
    if not extra:
        raise _malformed("extra data that is no base64")
    return extra


def _malformed(observed: str) -> LogError:
    return LogError(
        "L161",
        observed=observed,
        expected="first line, optional extra, index, hashes, blank line, checkpoint",
        where="receipt",
        hint="take the receipt byte for byte as it was given out",
    )
