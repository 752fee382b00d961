"""Signed notes: text, a blank line, and signature lines.

Source:
    C2SP signed-note.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from gradledger.errors import LogError
from gradledger.log.keys import KEY_ID_BYTES, SigningKey, VerifierKey, strict_base64
from gradledger.log.names import check_name

_DASH: Final = "\u2014"
_FIRST_PRINTABLE: Final = "\u0020"
MAX_NOTE_BYTES: Final = 1 << 20
MAX_SIGNATURES: Final = 100


@dataclass(frozen=True)
class NoteSignature:
    """One signature line.

    Attributes:
        name: Name of the key.
        key_id: Its id, 4 bytes.
        signature: What the key signed, in the form of its kind.
    """

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        """Return the line, without its newline."""
        packed = base64.b64encode(self.key_id + self.signature).decode()
        return f"{_DASH} {self.name} {packed}"

    @staticmethod
    def parse(line: str) -> NoteSignature:
        """Read a signature line.

        Raises:
            LogError: Malformed. Code L111.
        """
        parts = line.split(" ")
        packed = strict_base64(parts[2]) if len(parts) == 3 else None  # noqa: PLR2004
        if packed is None or len(packed) <= KEY_ID_BYTES or parts[0] != _DASH:
            raise malformed_note(f"the line {line[:80]!r}", f"{_DASH} name base64")
        try:
            name = check_name(parts[1], "signature line")
        except LogError as error:
            raise malformed_note(f"the name {parts[1][:60]!r}", "a key name") from error
        return NoteSignature(name, packed[:KEY_ID_BYTES], packed[KEY_ID_BYTES:])


@dataclass(frozen=True)
class Note:
    """A text and its signatures, which say nothing until they are checked.

    Attributes:
        text: Ends in a newline.
        signatures: One or more.
    """

    text: str
    signatures: tuple[NoteSignature, ...]

    def __str__(self) -> str:
        """Return the note as it is stored."""
        lines = "".join(f"{signature}\n" for signature in self.signatures)
        return f"{self.text}\n{lines}"

    @staticmethod
    def parse(content: bytes) -> Note:
        """Read a note.

        Raises:
            LogError: Not a note: its encoding, a control character, no blank line, no signature
                line, or one of another form. Code L111.
        """
        if len(content) > MAX_NOTE_BYTES:
            raise malformed_note(f"{len(content)} bytes", f"at most {MAX_NOTE_BYTES}")
        try:
            whole = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise malformed_note("bytes that are no text", "UTF-8") from error
        odd = next((sign for sign in whole if sign < _FIRST_PRINTABLE and sign != "\n"), None)
        if odd is not None:
            raise malformed_note(f"the control character {odd!r}", "none but newlines")
        text, blank, tail = whole.rpartition("\n\n")
        lines = tail.split("\n")
        if not blank or not text or lines.pop() or not lines:
            raise malformed_note(
                "no blank line before signature lines", "text, blank line, signature lines"
            )
        if len(lines) > MAX_SIGNATURES:
            raise malformed_note(f"{len(lines)} signatures", f"at most {MAX_SIGNATURES}")
        return Note(f"{text}\n", tuple(NoteSignature.parse(line) for line in lines))

    def signed_by(self, key: SigningKey, moment: int | None = None) -> Note:
        """Return the note with one more signature; an earlier one of the same key goes."""
        verifier = key.verifier
        made = NoteSignature(key.name, verifier.key_id, key.sign(self.text.encode(), moment))
        return self.with_signature(made)

    def with_signature(self, signature: NoteSignature) -> Note:
        """Return the note with a signature in place of an earlier one of the same key."""
        kept = [
            other
            for other in self.signatures
            if (other.name, other.key_id) != (signature.name, signature.key_id)
        ]
        return replace(self, signatures=(*kept, signature))

    def verify(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """Return the keys among those given that signed the text.

        Signatures of other keys are passed over, as the format asks.

        Raises:
            LogError: A signature by one of the keys does not hold. Code L112.
        """
        known = {(key.name, key.key_id): key for key in keys}
        signers = []
        for signature in self.signatures:
            key = known.get((signature.name, signature.key_id))
            if key is None or key in signers:
                continue
            if not key.holds(signature.signature, self.text.encode()):
                raise LogError(
                    "L112",
                    observed=f"a signature that {key.name} did not make",
                    expected=f"one of the key {key.key_id.hex()} over this text",
                    where="signed note",
                    hint="get the note again from its source",
                )
            signers.append(key)
        return signers


def malformed_note(observed: str, expected: str) -> LogError:
    """Return the error for bytes that are no signed note."""
    return LogError(
        "L111",
        observed=observed,
        expected=expected,
        where="signed note",
        hint="take the note byte for byte; editors may change line ends",
    )
