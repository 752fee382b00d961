"""The tiles that some leaves of a log rest on, as files, and the check of such a part of a log.

They are all tiles above the chosen leaves and those at the right edge of the tree. Hashes say
nothing of the leaves that are not chosen. Whoever holds them can compute the root hash again,
and go on from there: a later checkpoint of the same log can be tied to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gradledger.errors import LogError
from gradledger.log.checkpoint import Checkpoint
from gradledger.log.reader import LogReader
from gradledger.merkle import (
    TILE_WIDTH,
    Frontier,
    TileId,
    join_tile,
    leaf_hash,
    root_hash,
    split_tile,
)

_TILE_HEIGHT = TILE_WIDTH.bit_length() - 1


def tiles_above(indices: Iterable[int], size: int) -> set[TileId]:
    """Return the tiles above some leaves of a tree, and those at its right edge."""
    wanted = set(Frontier.partial_tiles(size))
    for index in indices:
        level = 0
        while count := size >> _TILE_HEIGHT * level:
            number = index >> _TILE_HEIGHT * (level + 1)
            if number * TILE_WIDTH >= count:
                break
            wanted.add(TileId(level, number, min(TILE_WIDTH, count - number * TILE_WIDTH)))
            level += 1
    return wanted


def tile_files(reader: LogReader, indices: Iterable[int]) -> dict[str, bytes]:
    """Return the tiles above some leaves as files: path below the log -> content.

    Raises:
        LogError: A tile lacks or is damaged. Code L132.
        StorageError: A file cannot be read. Code S113.
    """
    wanted = sorted(tiles_above(indices, reader.size))
    return {tile.path: join_tile(reader.store.hashes(tile)) for tile in wanted}


def check_tile_files(
    files: Mapping[str, bytes], head: Checkpoint, leaves: Mapping[int, bytes]
) -> str | None:
    """Return why tiles are not those above some leaves of a tree; None where they are.

    Args:
        files: Path below the log -> content.
        head: The checkpoint that they must lead to.
        leaves: Index -> leaf.
    """
    if any(not 0 <= index < head.size for index in leaves):
        return "a leaf beyond the tree size"
    wanted = {tile.path: tile for tile in tiles_above(leaves, head.size)}
    if wanted.keys() != files.keys():
        return f"other tiles than those asked for: {min(wanted.keys() ^ files.keys())}"
    try:
        hashes = {
            (tile.level, tile.number): split_tile(files[path], tile.width)
            for path, tile in wanted.items()
        }
    except LogError as error:
        return error.observed
    return _first_break(hashes, head, leaves)


def _first_break(
    hashes: Mapping[tuple[int, int], list[bytes]], head: Checkpoint, leaves: Mapping[int, bytes]
) -> str | None:
    carried: list[bytes] = []
    top = max((level for level, _ in hashes), default=-1)
    edge = {tile.level: tile for tile in Frontier.partial_tiles(head.size)}
    for level in range(max(top, max(edge, default=-1)) + 1):
        kept = hashes[level, edge[level].number] if level in edge else []
        items = [*kept, *carried]
        carried = [root_hash(items)] if items else []
    if (carried[0] if carried else root_hash([])) != head.root:
        return "tiles that do not lead to the root hash"
    for (level, number), held in hashes.items():
        above = hashes.get((level + 1, number // TILE_WIDTH))
        if len(held) == TILE_WIDTH and (
            above is None or root_hash(held) != above[number % TILE_WIDTH]
        ):
            return f"a tile of level {level} that the one above does not hold"
    for index, leaf in leaves.items():
        if hashes[0, index // TILE_WIDTH][index % TILE_WIDTH] != leaf_hash(leaf):
            return f"leaf {index}, which its tile does not hold"
    return None
