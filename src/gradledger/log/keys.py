"""Keys of logs and witnesses, and their text forms.

A verifier key is ``name+id+key``; the id binds name, kind and key. The secret form has the same
parts behind ``PRIVATE+KEY+``, as Go's note package writes it.

Source:
    C2SP signed-note and tlog-cosignature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Final

from gradledger.errors import LogError
from gradledger.log import ed25519
from gradledger.log.names import check_name

KEY_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_MAX_TIME: Final = (1 << 63) - 1
_SECRET_HEAD: Final = "PRIVATE+KEY+"  # noqa: S105  (the public prefix of a secret)


class KeyKind(IntEnum):
    """Signature type bytes of the signed note format."""

    LOG = 0x01  # Ed25519 over the note's text
    WITNESS = 0x04  # Ed25519 over a time and the note's text


@dataclass(frozen=True)
class VerifierKey:
    """The public half of a key, under a name.

    Attributes:
        name: Name of the key; for a log, its origin.
        kind: What it signs.
        public: Ed25519 public key, 32 bytes.
    """

    name: str
    kind: KeyKind
    public: bytes

    @property
    def key_id(self) -> bytes:
        """First four bytes of SHA-256 over name, newline, kind and key."""
        head = self.name.encode() + b"\n" + bytes([self.kind])
        return hashlib.sha256(head + self.public).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        """Return the verifier key as text."""
        packed = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{packed}"

    @staticmethod
    def parse(text: str) -> VerifierKey:
        """Read a verifier key.

        Raises:
            LogError: Malformed, of another kind, or an id that is not that of its parts. Code L101.
        """
        name, key_id, packed = _parts(text.strip(), "verifier key")
        key = VerifierKey(name, _kind(packed, "verifier key"), packed[1:])
        if key.key_id.hex() != key_id:
            raise _unreadable(f"the id {key_id}", key.key_id.hex(), f"verifier key of {name}")
        return key

    def named(self, name: str) -> VerifierKey:
        """Return the same key under another name, as one that signs for several logs has."""
        return replace(self, name=check_name(name, "name of a key"))

    def vouching_for(self, origin: str) -> VerifierKey | None:
        """Return the key under a log's origin, if it may sign there; else None.

        It may for the origin that it is named as and for those below it: whoever signs as
        ``example.org/lab`` signs the log ``example.org/lab/RUN``.
        """
        if origin == self.name or origin.startswith(f"{self.name}/"):
            return self.named(origin)
        return None

    def holds(self, signature: bytes, text: bytes) -> bool:
        """Whether a signature of a note's text is by this key."""
        if self.kind is KeyKind.LOG:
            return ed25519.holds(self.public, signature, text)
        moment = int.from_bytes(signature[:_TIME_BYTES], "big")
        if moment > _MAX_TIME:
            return False
        return ed25519.holds(self.public, signature[_TIME_BYTES:], cosigned(text, moment))


@dataclass(frozen=True)
class SigningKey:
    """A key that signs; its text form and its seed are secrets.

    Attributes:
        name: Name of the key.
        kind: What it signs.
        seed: Ed25519 private seed, 32 bytes.
        path: File it was read from; None where it has none.
    """

    name: str
    kind: KeyKind
    seed: bytes = field(repr=False)
    path: Path | None = None

    @staticmethod
    def generate(name: str, kind: KeyKind = KeyKind.LOG) -> SigningKey:
        """Draw a new key.

        Raises:
            LogError: The name cannot stand in a note. Code L105.
        """
        seed = secrets.token_bytes(ed25519.SEED_BYTES)
        return SigningKey(check_name(name, "name of a key"), kind, seed)

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self.kind, ed25519.public_of(self.seed))

    def named(self, name: str) -> SigningKey:
        """Return the same key under another name: a log's key bears the log's origin."""
        return replace(self, name=check_name(name, "name of a key"))

    def sign(self, text: bytes, moment: int | None = None) -> bytes:
        """Sign a note's text.

        Args:
            text: The text, final newline included.
            moment: POSIX time of a witness's signature; None for now. Logs sign no time.
        """
        if self.kind is KeyKind.LOG:
            return ed25519.sign(self.seed, text)
        moment = int(time.time()) if moment is None else moment
        return moment.to_bytes(_TIME_BYTES, "big") + ed25519.sign(self.seed, cosigned(text, moment))

    def secret_text(self) -> str:
        """Return the secret text form; handle it like a password."""
        packed = base64.b64encode(bytes([self.kind]) + self.seed).decode()
        return f"{_SECRET_HEAD}{self.name}+{self.verifier.key_id.hex()}+{packed}"

    @staticmethod
    def from_secret_text(text: str, path: Path | None = None) -> SigningKey:
        """Read the secret text form.

        Raises:
            LogError: Malformed; the message shows nothing of the secret. Code L101.
        """
        where = str(path) if path else "signing key"
        text = text.strip()
        if not text.startswith(_SECRET_HEAD):
            raise _unreadable("another beginning", f"{_SECRET_HEAD}name+id+key", where)
        name, key_id, packed = _parts(text.removeprefix(_SECRET_HEAD), where)
        key = SigningKey(name, _kind(packed, where), packed[1:], path)
        if key.verifier.key_id.hex() != key_id:
            raise _unreadable("an id of another key", "the id of this name and key", where)
        return key


def cosigned(text: bytes, moment: int) -> bytes:
    """Return what a witness signs: a header, its time and the note's text."""
    return b"cosignature/v1\ntime %d\n" % moment + text


def strict_base64(text: str) -> bytes | None:
    """Return the bytes of standard base64 in its one canonical spelling; None for any other."""
    try:
        content = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if base64.b64encode(content).decode() == text else None


def _parts(text: str, where: str) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)
    packed = strict_base64(parts[2]) if len(parts) == 3 else None  # noqa: PLR2004
    if packed is None or len(packed) != 1 + ed25519.PUBLIC_BYTES:
        raise _unreadable("another form", "name+id+base64 of kind and 32 bytes", where)
    return check_name(parts[0], where), parts[1], packed


def _kind(packed: bytes, where: str) -> KeyKind:
    try:
        return KeyKind(packed[0])
    except ValueError as error:
        known = ", ".join(f"{kind:#04x} ({kind.name.lower()})" for kind in KeyKind)
        raise _unreadable(f"a key of kind {packed[0]:#04x}", known, where) from error


def _unreadable(observed: str, expected: str, where: str) -> LogError:
    return LogError(
        "L101",
        observed=observed,
        expected=expected,
        where=where,
        hint="take the text exactly as it was given out",
    )
