"""Checkpoints: the origin of a log, its tree size and its root hash, usually signed.

Without a key a log still has its three lines, but never under the name or in the form of a
checkpoint that somebody signed.

Source:
    C2SP tlog-checkpoint.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

from gradledger.errors import LogError
from gradledger.log.keys import strict_base64
from gradledger.log.names import check_name
from gradledger.log.note import MAX_NOTE_BYTES, Note
from gradledger.merkle import HASH_BYTES

#: First line of what an unsigned log shows in place of a checkpoint.
UNSIGNED_HEAD: Final = "gradledger.unsigned/1: nobody signed these lines"

_SIZE: Final = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_NUM_LINES: Final = 3


@dataclass(frozen=True)
class Checkpoint:
    """A tree size and its root hash.

    Attributes:
        origin: Name of the log.
        size: Tree size.
        root: Root hash, 32 bytes.
        note: The signed note it came from; None where nobody signed.
    """

    origin: str
    size: int
    root: bytes
    note: Note | None = None

    @property
    def signed(self) -> bool:
        """Whether it carries signatures; whose, and whether they hold, is another question."""
        return self.note is not None

    @property
    def text(self) -> str:
        """The three lines that a log signs."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def __str__(self) -> str:
        """Return what is stored: the signed note, or the lines under a head that says unsigned."""
        return str(self.note) if self.note else f"{UNSIGNED_HEAD}\n{self.text}"

    def __bytes__(self) -> bytes:
        """Return the same in UTF-8."""
        return str(self).encode()

    @staticmethod
    def parse(content: bytes) -> Checkpoint:
        """Read a checkpoint, signed or not.

        Raises:
            LogError: The note (L111) or its lines (L113) are malformed.
        """
        head = f"{UNSIGNED_HEAD}\n".encode()
        if not content.startswith(head):
            note = Note.parse(content)
            return _from_text(note.text, note)
        if len(content) > MAX_NOTE_BYTES:
            raise _malformed(f"{len(content)} bytes")
        try:
            return _from_text(content.removeprefix(head).decode("utf-8"), None)
        except UnicodeDecodeError as error:
            raise _malformed("bytes that are no text") from error


def parse_decimal(text: str) -> int | None:
    """Return a number of digits without leading zeros, below 2**63; None for anything else."""
    if not _SIZE.fullmatch(text):
        return None
    number = int(text)
    return number if number < 1 << 63 else None


def _from_text(text: str, note: Note | None) -> Checkpoint:
    lines = text.split("\n")
    if lines.pop() or len(lines) != _NUM_LINES:
        raise _malformed(f"{len(lines)} lines")
    size, root = parse_decimal(lines[1]), strict_base64(lines[2])
    if size is None:
        raise _malformed(f"the size {lines[1][:40]!r}")
    if root is None or len(root) != HASH_BYTES:
        raise _malformed(f"the root hash {lines[2][:60]!r}")
    try:
        origin = check_name(lines[0], "origin of a checkpoint")
    except LogError as error:
        raise _malformed(f"the origin {lines[0][:60]!r}") from error
    return Checkpoint(origin, size, root, note)


def _malformed(observed: str) -> LogError:
    return LogError(
        "L113",
        observed=observed,
        expected="three lines: origin, decimal tree size, base64 root hash",
        where="checkpoint",
        hint="take the checkpoint byte for byte from the log",
    )
