"""Tiles: 256 consecutive hashes of one tree height per file, and bundles of 256 leaves.

Level 0 holds leaf hashes; a hash of any other level is the root over a full tile of the level
below. What lies between is computed from the hashes of a tile.

Source:
    C2SP tlog-tiles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gradledger.errors import LogError
from gradledger.merkle.hashes import HASH_BYTES, root_hash
from gradledger.merkle.proofs import NodeReader

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
#: Pseudo-level of bundles of leaves, which lie beside the tiles of level 0.
ENTRIES_LEVEL: Final = -1

_MAX_LEVEL: Final = 63
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9]\d?)/(?P<number>(?:x\d{3}/)*\d{3})"
    r"(?:\.p/(?P<width>[1-9]\d{0,2}))?",
    re.ASCII,
)


@dataclass(frozen=True, order=True)
class TileId:
    """Which tile: its level, its place in the level, and how many hashes it holds.

    Attributes:
        level: 0 for leaf hashes, up to 63; ``ENTRIES_LEVEL`` for a bundle of leaves.
        number: Place within the level, from 0.
        width: 1 to 256; below 256 the tile is partial.
    """

    level: int
    number: int
    width: int = TILE_WIDTH

    @property
    def full(self) -> TileId:
        """The full tile that this one grows into."""
        return TileId(self.level, self.number)

    @property
    def path(self) -> str:
        """Path below the log: ``tile/1/x001/x234/067.p/8``."""
        groups: list[str] = []
        rest = self.number
        while True:
            groups.append(f"{rest % 1000:03d}")
            rest //= 1000
            if not rest:
                break
        groups = [*(f"x{group}" for group in reversed(groups[1:])), groups[0]]
        level = "entries" if self.level == ENTRIES_LEVEL else str(self.level)
        tail = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(groups)}{tail}"

    @staticmethod
    def parse(path: str) -> TileId | None:
        """Return the tile of a path; None where the path names none in its one proper form."""
        match = _PATH.fullmatch(path)
        if not match:
            return None
        level = ENTRIES_LEVEL if match["level"] == "entries" else int(match["level"])
        number = int(match["number"].replace("x", "").replace("/", ""))
        tile = TileId(level, number, int(match["width"] or TILE_WIDTH))
        return tile if tile.level <= _MAX_LEVEL and tile.path == path else None


def tiles_of(size: int) -> Iterator[TileId]:
    """Give every tile and bundle that a tree of ``size`` leaves consists of."""
    return new_tiles(0, size)


def new_tiles(old_size: int, new_size: int) -> Iterator[TileId]:
    """Give the tiles and bundles of a tree that those of an older size do not contain."""
    level = ENTRIES_LEVEL
    while True:
        old = old_size >> TILE_HEIGHT * max(level, 0)
        new = new_size >> TILE_HEIGHT * max(level, 0)
        if not new:
            return
        if new > old:
            for number in range(old // TILE_WIDTH, new // TILE_WIDTH):
                yield TileId(level, number)
            if new % TILE_WIDTH:
                yield TileId(level, new // TILE_WIDTH, new % TILE_WIDTH)
        level += 1


def node_reader(size: int, read_tile: Callable[[TileId], Sequence[bytes]]) -> NodeReader:
    """Return a reader of perfect subtrees that takes them from the tiles of a tree.

    Args:
        size: Tree size that the tiles belong to.
        read_tile: Gives the hashes of a tile, as many as its width.
    """

    def read_node(height: int, place: int) -> bytes:
        level, rest = divmod(height, TILE_HEIGHT)
        number, offset = divmod(place << rest, TILE_WIDTH)
        width = min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - number * TILE_WIDTH)
        hashes = read_tile(TileId(level, number, width))
        return root_hash(hashes[offset : offset + (1 << rest)])

    return read_node


def join_tile(hashes: Iterable[bytes]) -> bytes:
    """Return the bytes of a tile."""
    return b"".join(hashes)


def split_tile(content: bytes, width: int) -> list[bytes]:
    """Return the hashes of a tile.

    Raises:
        LogError: The length is not that of ``width`` hashes. Code L132.
    """
    if len(content) != width * HASH_BYTES:
        raise _damaged(f"{len(content)} bytes", f"{width * HASH_BYTES}, {width} hashes", "tile")
    return [content[start : start + HASH_BYTES] for start in range(0, len(content), HASH_BYTES)]


def encode_bundle(leaves: Iterable[bytes]) -> bytes:
    """Return the bytes of a bundle: each leaf behind its length, two bytes, big-endian."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def decode_bundle(content: bytes, width: int) -> list[bytes]:
    """Return the leaves of a bundle.

    Raises:
        LogError: The bundle does not hold ``width`` leaves and nothing else. Code L132.
    """
    leaves: list[bytes] = []
    place = 0
    while place < len(content) and len(leaves) < width:
        start = place + 2
        place = start + int.from_bytes(content[place:start], "big")
        leaves.append(content[start:place])
    if place != len(content) or len(leaves) != width:
        raise _damaged(
            f"{len(leaves)} leaves up to byte {place} of {len(content)}",
            f"{width} leaves and no other byte",
            "bundle of leaves",
        )
    return leaves


def _damaged(observed: str, expected: str, where: str) -> LogError:
    return LogError(
        "L132",
        observed=observed,
        expected=expected,
        where=where,
        hint="verify the run, and restore the log from a copy",
    )
