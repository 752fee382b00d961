"""The root hash of leaves that pass by: one hash is kept for every 8192 of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gradledger.merkle.hashes import root_hash

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
        self._rest: list[bytes] = []

    def add(self, hashes: Sequence[bytes]) -> None:
        """Add leaf hashes, in order."""
        self.size += len(hashes)
        self._rest += hashes
        while len(self._rest) >= _SUBTREE:
            self._roots.append(root_hash(self._rest[:_SUBTREE]))
            del self._rest[:_SUBTREE]

    def root(self) -> bytes:
        """Return the root hash.

        An incomplete subtree at the end moves up unchanged to the height of the others, as in
        ``root_hash``.
        """
        return root_hash([*self._roots, *([root_hash(self._rest)] if self._rest else [])])
