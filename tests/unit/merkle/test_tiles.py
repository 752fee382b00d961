from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.errors import LogError
from gradledger.merkle import (
    ENTRIES_LEVEL,
    TILE_WIDTH,
    Frontier,
    TileId,
    decode_bundle,
    encode_bundle,
    join_tile,
    leaf_hash,
    new_tiles,
    root_hash,
    split_tile,
    tiles_of,
)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (TileId(0, 0), "tile/0/000"),
        (TileId(0, 0, 1), "tile/0/000.p/1"),
        (TileId(1, 1234067), "tile/1/x001/x234/067"),
        (TileId(63, 999, 255), "tile/63/999.p/255"),
        (TileId(0, 1000), "tile/0/x001/000"),
        (TileId(ENTRIES_LEVEL, 273, 112), "tile/entries/273.p/112"),
    ],
)
def test_paths(tile: TileId, path: str) -> None:
    assert tile.path == path
    assert TileId.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/00", "tile/00/000", "tile/64/000", "tile/0/000.p/0", "tile/0/000.p/256",
        "tile/0/000.p/01", "tile/0/x000/000", "tile/0/001/002", "tile/0/x001", "tile/0/000/",
        "tile/-1/000", "tile/entries/000.p/", "tile/0/../000", "tile/0/٠٠٠", "tile/0/000\n",
    ],
)  # fmt: skip
def test_other_spellings_name_no_tile(path: str) -> None:
    assert TileId.parse(path) is None


@given(st.integers(-1, 63), st.integers(0, 10**12), st.integers(1, 256))
def test_paths_come_back(level: int, number: int, width: int) -> None:
    tile = TileId(level, number, width)
    assert TileId.parse(tile.path) == tile


def test_a_tree_of_70000_leaves() -> None:
    """The example of the specification."""
    tiles = [tile for tile in tiles_of(70_000) if tile.level >= 0]
    full = [sum(t.level == n and t.width == TILE_WIDTH for t in tiles) for n in range(3)]
    assert full == [273, 1, 0]
    partial = [(tile.level, tile.number, tile.width) for tile in tiles if tile.width < TILE_WIDTH]
    assert partial == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert [t for t in tiles_of(256) if t.level >= 0] == [TileId(0, 0), TileId(1, 0, 1)]


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_new_tiles_complete_the_old_ones(first: int, second: int) -> None:
    old_size, new_size = sorted((first, second))
    old, new = set(tiles_of(old_size)), set(tiles_of(new_size))
    added = list(new_tiles(old_size, new_size))
    assert len(added) == len(set(added))
    assert set(added) <= new
    assert new <= old | set(added)


def test_the_frontier_fills_the_tiles_that_a_list_has() -> None:
    num_leaves = 2 * TILE_WIDTH**2 + TILE_WIDTH + 3
    frontier, hashes = Frontier(), [leaf_hash(b"%d" % index) for index in range(num_leaves)]
    filled = {}
    for size, item in enumerate(hashes, 1):
        filled.update(frontier.append(item))
        if size in {1, 255, 256, 257, 65_536, 65_537, num_leaves}:
            assert frontier.root() == root_hash(hashes[:size])
            again = Frontier(size, frontier.levels)
            assert again.root() == frontier.root()
    assert set(filled) == {t for t in tiles_of(num_leaves) if t.width == 256 and t.level >= 0}
    assert filled[TileId(0, 7)] == hashes[7 * 256 : 8 * 256]
    assert filled[TileId(1, 1)][3] == root_hash(hashes[256 * 259 : 256 * 260])
    copy = frontier.copy()
    copy.append(hashes[0])
    assert (copy.size, frontier.size) == (num_leaves + 1, num_leaves)
    assert frontier.root() == root_hash(hashes)


@given(st.lists(st.binary(max_size=300), max_size=TILE_WIDTH))
def test_bundles_come_back(leaves: list[bytes]) -> None:
    content = encode_bundle(leaves)
    assert decode_bundle(content, len(leaves)) == leaves
    for damaged, width in (
        (content + b"\0", len(leaves)),
        (content, len(leaves) + 1),
        (content[:-1] if content else b"\0", len(leaves)),
    ):
        with pytest.raises(LogError, match="L132"):
            decode_bundle(damaged, width)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=TILE_WIDTH))
def test_tiles_come_back(hashes: list[bytes]) -> None:
    content = join_tile(hashes)
    assert split_tile(content, len(hashes)) == hashes
    with pytest.raises(LogError, match="L132"):
        split_tile(content + b"\0", len(hashes))
