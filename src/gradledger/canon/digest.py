"""Digests: SHA-256 of bytes and of records, and commitments that a salt can unlink."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from gradledger.canon.canonical import canonical_json
from gradledger.errors import InputError

Buffer = bytes | bytearray | memoryview

#: Shorter salts could be searched; 128 bits cannot.
MIN_SALT_BYTES: Final = 16


def digest_hex(content: Buffer) -> str:
    """Return the SHA-256 of bytes: 64 hex digits (FIPS 180-4)."""
    return hashlib.sha256(content).hexdigest()


def record_digest(domain: str, record: object) -> str:
    """Return the SHA-256 of a record's canonical bytes within a domain.

    The domain keeps records of different kinds apart even where their fields agree.

    Args:
        domain: Kind of record and its version, such as ``"policy/1"``; no NUL.
        record: What ``canonical_json`` takes.

    Returns:
        SHA-256 of ``"gradledger" NUL domain NUL canonical bytes``, 64 hex digits.

    Raises:
        InputError: The record has no canonical form, or the domain is empty or holds NUL. Code
            I121.
    """
    if not domain or "\0" in domain:
        raise InputError(
            "I121",
            observed=f"the domain {domain!r}",
            expected="text without NUL, not empty",
            where="record_digest",
        )
    head = f"gradledger\0{domain}\0".encode()
    return hashlib.sha256(head + canonical_json(record)).hexdigest()


def keyed_commitment(salt: bytes, content: Buffer) -> str:
    """Commit to content under a salt: HMAC-SHA-256, 64 hex digits.

    Short texts can be guessed from a bare hash. Once the salt is destroyed, nobody can tell any
    more what was committed to.

    Args:
        salt: Secret random bytes, 16 or more.
        content: The canonical content, or its digest.

    Raises:
        InputError: The salt is too short to be secret. Code I123.

    Source:
        RFC 2104.
    """
    if len(salt) < MIN_SALT_BYTES:
        raise InputError(
            "I123",
            observed=f"{len(salt)} bytes",
            expected=f"{MIN_SALT_BYTES} or more",
            where="keyed_commitment",
            hint="draw it with secrets.token_bytes(32)",
        )
    return hmac.digest(salt, content, hashlib.sha256).hex()
