"""The root hash of leaves that pass by: one hash is kept for every 8192 of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gradledger.merkle.hashes import HASH_BYTES, joined_root, root_hash

#: Leaves of a perfect subtree that is kept as its root alone; a power of two.
_SUBTREE: Final = 1 << 13


class RootStream:
    """A tree that is only grown and asked for its root.

    Attributes:
        size: Leaves so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []
        self._rest = bytearray()

    def add(self, hashes: bytes, fold: Callable[[bytes], bytes] = joined_root) -> None:
        """Add leaf hashes, in order.

        Args:
            hashes: 32 bytes each, one after another.
            fold: Gives the root hash over hashes that lie so: ``joined_root``, or what is as right
                and faster.
        """
        self.size += len(hashes) // HASH_BYTES
        self._rest += hashes
        width = _SUBTREE * HASH_BYTES
        while len(self._rest) >= width:
            self._roots.append(fold(bytes(self._rest[:width])))
            del self._rest[:width]

    def root(self) -> bytes:
        """Return the root hash.

        An incomplete subtree at the end moves up unchanged to the height of the others, as in
        ``root_hash``.
        """
        return root_hash([*self._roots, *([joined_root(self._rest)] if self._rest else [])])
