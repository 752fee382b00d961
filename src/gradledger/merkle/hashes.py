"""Leaf hash, node hash and root hash.

Leaves and inner nodes are hashed with different first bytes: otherwise two child hashes put
together could be shown as a leaf.

Source:
    RFC 6962, section 2.1 (the same tree as RFC 9162).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Final

Buffer = bytes | bytearray | memoryview

HASH_BYTES: Final = 32
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
_DIGEST: Final = struct.Struct(f"{HASH_BYTES}s")

#: Root hash of the tree without leaves.
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(leaf: Buffer) -> bytes:
    """Return the hash of a leaf: SHA-256 of 0x00 and its bytes."""
    return hashlib.sha256(_LEAF + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256 of 0x01 and both child hashes."""
    return hashlib.sha256(_NODE + left + right).digest()


def leaf_hashes(rows: Buffer, row_bytes: int) -> list[bytes]:
    """Return the leaf hashes of fixed-width leaves that lie one after another.

    Args:
        rows: All leaves, ``row_bytes`` each.
        row_bytes: Width of a leaf, at least 1.
    """
    sha256, cut = hashlib.sha256, struct.Struct(f"{row_bytes}s").iter_unpack
    return [sha256(_LEAF + row).digest() for (row,) in cut(memoryview(rows).cast("B"))]


def root_hash(hashes: Iterable[bytes]) -> bytes:
    """Return the root hash over leaf hashes, or over roots of perfect subtrees of one height.

    An odd node at the end of a level moves up unchanged, which is the split of the RFC at the
    largest power of two read from below.
    """
    level, sha256 = list(hashes), hashlib.sha256
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        sides = iter(level)  # taken twice: every second one, without copies
        pairs = zip(sides, sides, strict=False)
        level = [sha256(_NODE + left + right).digest() for left, right in pairs]
        level += odd
    return level[0]


def joined_root(hashes: Buffer) -> bytes:
    """Return the root hash over hashes of 32 bytes that lie one after another."""
    return root_hash(digest for (digest,) in _DIGEST.iter_unpack(hashes))
