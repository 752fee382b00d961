"""The frontier: the rightmost tile of every level, which is all that appending needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gradledger.merkle.hashes import EMPTY_ROOT, root_hash
from gradledger.merkle.tiles import TILE_HEIGHT, TILE_WIDTH, TileId


class Frontier:
    """A tree that only grows, held in at most 255 hashes per level.

    Args:
        size: Leaves so far.
        levels: The hashes of the partial tile of each level, from level 0 up, as a tree of this
            size has them; empty where the last tile of a level is full.

    Attributes:
        size: Leaves so far.
    """

    def __init__(self, size: int = 0, levels: Iterable[Sequence[bytes]] = ()) -> None:
        self.size = size
        self._levels = [list(level) for level in levels]

    @property
    def levels(self) -> tuple[tuple[bytes, ...], ...]:
        """Hashes of the partial tile of each level, from level 0 up."""
        return tuple(tuple(level) for level in self._levels)

    @staticmethod
    def partial_tiles(size: int) -> list[TileId]:
        """Return the partial tiles of a tree, those that a frontier is restored from."""
        tiles: list[TileId] = []
        level = 0
        while count := size >> TILE_HEIGHT * level:
            if count % TILE_WIDTH:
                tiles.append(TileId(level, count // TILE_WIDTH, count % TILE_WIDTH))
            level += 1
        return tiles

    def append(self, hashed_leaf: bytes) -> list[tuple[TileId, list[bytes]]]:
        """Add a leaf hash.

        Returns:
            The tiles that this leaf filled, lowest level first, with their hashes.
        """
        filled: list[tuple[TileId, list[bytes]]] = []
        carried, level = hashed_leaf, 0
        self.size += 1
        while True:
            if level == len(self._levels):
                self._levels.append([])
            hashes = self._levels[level]
            hashes.append(carried)
            if len(hashes) < TILE_WIDTH:
                return filled
            number = (self.size >> TILE_HEIGHT * (level + 1)) - 1
            filled.append((TileId(level, number), list(hashes)))
            carried, self._levels[level] = root_hash(hashes), []
            level += 1

    def root(self) -> bytes:
        """Return the root hash."""
        carried: list[bytes] = []
        for hashes in self._levels:
            items = [*hashes, *carried]
            carried = [root_hash(items)] if items else []
        return carried[0] if carried else EMPTY_ROOT

    def copy(self) -> Frontier:
        """Return an independent copy."""
        return Frontier(self.size, self._levels)
