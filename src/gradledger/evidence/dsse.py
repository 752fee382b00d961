"""Statements of in-toto in signed envelopes.

Source:
    DSSE (Dead Simple Signing Envelope) v1; in-toto Attestation Framework, Statement v1.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gradledger.canon import canonical_json, parse_json
from gradledger.errors import GradledgerError, LogError
from gradledger.evidence.receipt import malformed
from gradledger.log import KeyKind, SigningKey, VerifierKey

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_ENVELOPE: Final = "DSSE envelope"


def statement(subject: Sequence[Any], predicate_type: str, predicate: Any) -> dict[str, Any]:
    """Return an in-toto statement.

    Args:
        subject: Pairs of name and SHA-256, 64 hex digits.
        predicate_type: URI of the predicate's type.
        predicate: What is stated of the subject.
    """
    return {
        "_type": STATEMENT_TYPE,
        "predicate": predicate,
        "predicateType": predicate_type,
        "subject": [{"digest": {"sha256": digest}, "name": name} for name, digest in subject],
    }


def encode(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(public: bytes) -> str:
    """Return the hint that an envelope gives for a key: SHA-256 of its 32 bytes, hex."""
    return hashlib.sha256(public).hexdigest()


@dataclass(frozen=True)
class Envelope:
    """A payload and its signatures.

    Attributes:
        payload: The statement's bytes.
        payload_type: Media type.
        signatures: Pairs of key hint and signature.
    """

    payload: bytes
    payload_type: str
    signatures: tuple[tuple[str, bytes], ...]

    @staticmethod
    def sign(record: dict[str, Any], key: SigningKey) -> Envelope:
        """Sign a statement with the key of a log.

        Raises:
            LogError: The key is a witness's. Code L184.
        """
        if key.kind is not KeyKind.LOG:
            raise LogError(
                "L184",
                observed="a witness's key",
                expected="a key that signs logs",
                where=key.name,
                hint="a witness vouches for what it saw of a log, and for nothing else",
            )
        payload = canonical_json(record)
        signature = key.sign(encode(PAYLOAD_TYPE, payload))
        return Envelope(payload, PAYLOAD_TYPE, ((key_id(key.verifier.public), signature),))

    def signers(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """Return the keys among those given by which a signature holds; hints are not believed."""
        message = encode(self.payload_type, self.payload)
        return [
            key
            for key in keys
            if key.kind is KeyKind.LOG
            and any(key.holds(signature, message) for _, signature in self.signatures)
        ]

    def statement(self) -> dict[str, Any]:
        """Return the statement.

        Raises:
            LogError: The payload is none. Code L161.
        """
        try:
            record: Any = parse_json(self.payload, "statement")
            subject = [(item["name"], item["digest"]) for item in record["subject"]]
            fits = (
                self.payload_type == PAYLOAD_TYPE
                and record["_type"] == STATEMENT_TYPE
                and isinstance(record["predicateType"], str)
                and isinstance(record["predicate"], dict)
                and all(isinstance(n, str) and isinstance(d, dict) and d for n, d in subject)
                and subject
            )
        except (GradledgerError, KeyError, TypeError) as error:
            raise malformed(str(error).splitlines()[0][:200], "in-toto statement") from error
        if not fits:
            raise malformed("another type, or no subject", "in-toto statement")
        return dict(record)

    def __bytes__(self) -> bytes:
        """Return the envelope as one line of JSON."""
        record = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": hint, "sig": base64.b64encode(signature).decode()}
                for hint, signature in self.signatures
            ],
        }
        return canonical_json(record) + b"\n"

    @staticmethod
    def parse(content: bytes) -> Envelope:
        """Read an envelope; spelling is free, since others may have written it.

        Raises:
            LogError: It is malformed. Code L161.
        """
        try:
            record: Any = parse_json(content, _ENVELOPE)
            signatures = tuple(
                (str(item.get("keyid", "")), base64.b64decode(item["sig"], validate=True))
                for item in record["signatures"]
            )
            payload = base64.b64decode(record["payload"], validate=True)
            return Envelope(payload, str(record["payloadType"]), signatures)
        except (GradledgerError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise malformed(str(error).splitlines()[0][:200], _ENVELOPE) from error
