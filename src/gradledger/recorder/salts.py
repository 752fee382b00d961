"""Salts: keys of the content commitments, one per source, kept outside what is shared.

Destroying a salt unlinks the content of its source and leaves every record valid.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from gradledger.segment import ensure_folder, read_json, write_json

#: Folder of a run that never leaves the machine: not in the manifest, not in a bundle.
PRIVATE = "private"


class Salts:
    """Salts by source, made when first asked for."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / PRIVATE / "salts.json"
        self._salts: dict[str, bytes] = {}
        if self._path.exists():
            stored = read_json(self._path)
            self._salts = {source: bytes.fromhex(salt) for source, salt in stored.items()}

    def commit(self, source: str, content: bytes) -> bytes:
        """Return HMAC-SHA-256 of a content digest under the source's salt (RFC 2104)."""
        return hmac.digest(self._salt(source), content, hashlib.sha256)

    def identify(self, key: str) -> str:
        """Return the identifier of an example: keyed, so that the caller's key stays outside."""
        return hmac.digest(self._salt("\0ids"), key.encode(), hashlib.sha256)[:16].hex()

    def _salt(self, source: str) -> bytes:
        if source not in self._salts:
            self._salts[source] = secrets.token_bytes(32)
        return self._salts[source]

    def save(self) -> None:
        """Write the salts, readable by their owner alone."""
        ensure_folder(self._path.parent, 0o700)
        salts = {source: salt.hex() for source, salt in self._salts.items()}
        write_json(self._path, salts, mode=0o600)
