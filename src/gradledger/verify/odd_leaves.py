"""Which leaf, or which hash of a tile, is not as it was: tiles and bundles say the same twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Final

from gradledger.merkle import ENTRIES_LEVEL, HASH_BYTES, TILE_WIDTH, TileId, leaf_hash
from gradledger.segment import cannot_read
from gradledger.verify.finding import Finding

_LENGTH_BYTES: Final = 2


def odd_leaves(log_dir: Path, number: int, bundle: bytes) -> Iterator[Finding]:
    """Name the leaves of a bundle whose hash is not the one in the widest tile beside it.

    Args:
        log_dir: Folder of the log.
        number: Number of the bundle.
        bundle: Its bytes, however damaged.
    """
    tile, content = _widest(log_dir, number)
    hashes = [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)]
    for place, (leaf, hashed) in enumerate(zip_longest(_leaves(bundle), hashes)):
        if leaf is None or hashed is None:
            return
        found = leaf_hash(leaf)
        if found != hashed:
            observed = f"leaf hash {found.hex()}"
            expected = f"{hashed.hex()}, as log/{tile.path} has it"
            yield Finding("V106", f"leaf {number * TILE_WIDTH + place}", observed, expected)


def first_difference(tile: TileId | None, found: bytes, expected: bytes) -> str:
    """Return which leaf of a bundle, or hash of a tile, differs first; empty where none is known.

    Args:
        tile: What the file should be.
        found: Its bytes.
        expected: What they should be.
    """
    if tile is None:
        return ""
    if tile.level != ENTRIES_LEVEL:
        place = next(
            (at for at, (one, two) in enumerate(zip_longest(found, expected)) if one != two), 0
        )
        return f", hash {tile.number * TILE_WIDTH + place // HASH_BYTES}"
    pairs = zip_longest(_leaves(found), _leaves(expected))
    place = next((at for at, (one, two) in enumerate(pairs) if one != two), 0)
    return f", leaf {tile.number * TILE_WIDTH + place}"


def _widest(log_dir: Path, number: int) -> tuple[TileId, bytes]:
    """Return the tile of leaf hashes beside a bundle, with its bytes; none where it lacks."""
    full = TileId(0, number)
    folder = log_dir / f"{full.path}.p"
    widths = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    for tile in (full, *(TileId(0, number, width) for width in sorted(widths, reverse=True))):
        try:
            return tile, (log_dir / tile.path).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise cannot_read(log_dir / tile.path, error) from error
    return full, b""


def _leaves(bundle: bytes) -> Iterator[bytes]:
    """Give what the lengths of a bundle cut out of it, whether it fits or not."""
    place = 0
    while place < len(bundle):
        start = place + _LENGTH_BYTES
        place = start + int.from_bytes(bundle[place:start], "big")
        yield bundle[start:place]
