"""Salts: keys of the content commitments, one per source, kept outside what is shared.

Destroying a salt unlinks the content of its source and leaves every record valid.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from gradledger.segment import ensure_folder, read_json, write_json

#: Folder of a run that never leaves the machine: not in the manifest, not in a bundle.
PRIVATE = "private"
_ID_BYTES: Final = 16
#: Identifiers that one call of the hash yields.
_IDS_PER_BLOCK: Final = 4096


class Salts:
    """Salts by source, made when first asked for."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / PRIVATE / "salts.json"
        self._salts: dict[str, bytes] = {}
        self._is_kept = False
        if self._path.exists():
            stored = read_json(self._path)
            self._salts = {source: bytes.fromhex(salt) for source, salt in stored.items()}

    def commit(self, source: str, content: bytes) -> bytes:
        """Return HMAC-SHA-256 of a content digest under the source's salt (RFC 2104)."""
        return hmac.digest(self._salt(source), content, hashlib.sha256)

    def identify(self, first: int, count: int) -> pa.Array:
        """Return the identifiers of examples, 32 hex digits each.

        The identifier of example n is the n-th part of an output stream that the salt keys
        (FIPS 202, SHAKE256 over salt and block number). It depends on nothing but the salt and n:
        without the salt it cannot be guessed, and with it it tells nothing of the caller's own
        key. One call of the hash serves many examples, which makes identifiers cheap.

        Args:
            first: Number of the first example.
            count: How many.
        """
        salt, stop = self._salt("\0ids"), first + count
        blocks = range(first // _IDS_PER_BLOCK, -(-stop // _IDS_PER_BLOCK))
        stream = b"".join(
            hashlib.shake_256(salt + block.to_bytes(8, "big")).digest(_IDS_PER_BLOCK * _ID_BYTES)
            for block in blocks
        )
        offset = (first - blocks.start * _IDS_PER_BLOCK) * _ID_BYTES
        digits = stream[offset : offset + count * _ID_BYTES].hex().encode()
        ends = np.arange(0, len(digits) + 1, 2 * _ID_BYTES, dtype=np.int64)
        return pa.LargeStringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(digits))

    def _salt(self, source: str) -> bytes:
        if source not in self._salts:
            self._salts[source] = secrets.token_bytes(32)
            if self._is_kept:  # Made for a visit, after admission: lost, it would open nothing.
                self.save()
        return self._salts[source]

    def save(self) -> None:
        """Write the salts, readable by their owner alone; later ones are written when made."""
        self._is_kept = True
        ensure_folder(self._path.parent, 0o700)
        salts = {source: salt.hex() for source, salt in self._salts.items()}
        write_json(self._path, salts, mode=0o600)
