"""Proofs from tiles against the recursive definition, and their verification."""

from __future__ import annotations

import random
from functools import cache

import pytest

from gradledger.errors import LogError
from gradledger.merkle import (
    Frontier,
    TileId,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    node_reader,
    root_hash,
    tree_root,
)

LIMIT = 300


class Tiles:
    """All tiles of a tree in memory; a narrower one is cut from what is there."""

    def __init__(self, num_leaves: int) -> None:
        frontier, self.tiles = Frontier(), {}
        for index in range(num_leaves):
            for tile, hashes in frontier.append(leaf_hash(b"%d" % index)):
                self.tiles[tile.level, tile.number] = hashes
        for tile, hashes in zip(
            Frontier.partial_tiles(num_leaves), filter(None, frontier.levels), strict=True
        ):
            self.tiles[tile.level, tile.number] = list(hashes)
        self.root = frontier.root()

    def __call__(self, tile: TileId) -> list[bytes]:
        hashes = self.tiles[tile.level, tile.number][: tile.width]
        assert len(hashes) == tile.width
        return hashes


class Reference:
    """The recursion of the RFC over ranges of one list, so that ranges can be remembered."""

    @staticmethod
    def split(start: int, stop: int) -> int:
        return start + (1 << (stop - start - 1).bit_length() - 1)

    @cache  # noqa: B019
    def root(self, start: int, stop: int) -> bytes:
        if stop - start == 1:
            return leaf_hash(b"%d" % start)
        k = self.split(start, stop)
        return node_hash(self.root(start, k), self.root(k, stop))

    def path(self, m: int, start: int, stop: int) -> list[bytes]:
        if stop - start == 1:
            return []
        k = self.split(start, stop)
        if m < k:
            return [*self.path(m, start, k), self.root(k, stop)]
        return [*self.path(m, k, stop), self.root(start, k)]

    def subproof(self, m: int, start: int, stop: int, whole: bool) -> list[bytes]:
        if m == stop:
            return [] if whole else [self.root(start, stop)]
        k = self.split(start, stop)
        if m <= k:
            return [*self.subproof(m, start, k, whole), self.root(k, stop)]
        return [*self.subproof(m, k, stop, False), self.root(start, k)]


@pytest.fixture(scope="module")
def tiles() -> Tiles:
    return Tiles(70_000)


def test_the_remembered_recursion_is_the_plain_one(reference) -> None:
    leaves, fast = [b"%d" % index for index in range(40)], Reference()
    for n in range(1, 41):
        assert fast.root(0, n) == reference.root(leaves[:n])
        for m in range(n):
            assert fast.path(m, 0, n) == reference.path(m, leaves[:n])
            assert fast.subproof(m + 1, 0, n, True) == reference.subproof(m + 1, leaves[:n])


@pytest.mark.slow
def test_every_small_inclusion_proof_is_that_of_the_definition(tiles: Tiles) -> None:
    reference = Reference()
    for n in range(1, LIMIT + 1):
        read_node, root = node_reader(n, tiles), reference.root(0, n)
        assert tree_root(n, read_node) == root
        for m in range(n):
            proof = inclusion_proof(m, n, read_node)
            assert proof == reference.path(m, 0, n), (m, n)
            assert check_inclusion(reference.root(m, m + 1), m, n, proof, root) is None


@pytest.mark.slow
def test_every_small_consistency_proof_is_that_of_the_definition(tiles: Tiles) -> None:
    reference = Reference()
    for n in range(1, LIMIT + 1):
        read_node, root = node_reader(n, tiles), reference.root(0, n)
        for m in range(1, n + 1):
            proof = consistency_proof(m, n, read_node)
            assert proof == reference.subproof(m, 0, n, True), (m, n)
            assert check_consistency(m, n, proof, reference.root(0, m), root) is None


def test_large_random_trees(tiles: Tiles) -> None:
    reference, draw = Reference(), random.Random(6962)  # noqa: S311
    sizes = [65_535, 65_536, 65_537, 70_000, *(draw.randrange(300, 70_000) for _ in range(40))]
    for n in sizes:
        read_node, root = node_reader(n, tiles), reference.root(0, n)
        assert tree_root(n, read_node) == root
        for m in {0, n - 1, 255, 256, *(draw.randrange(n) for _ in range(10))}:
            proof = inclusion_proof(m, n, read_node)
            assert proof == reference.path(m, 0, n)
            assert check_inclusion(leaf_hash(b"%d" % m), m, n, proof, root) is None
        for m in {1, n, *(draw.randrange(1, n) for _ in range(10))}:
            proof = consistency_proof(m, n, read_node)
            assert proof == reference.subproof(m, 0, n, True)
            assert check_consistency(m, n, proof, reference.root(0, m), root) is None


def test_the_empty_tree_is_extended_by_every_tree(tiles: Tiles) -> None:
    read_node = node_reader(5, tiles)
    root = tree_root(5, read_node)
    assert consistency_proof(0, 5, read_node) == []
    assert check_consistency(0, 5, [], root_hash([]), root) is None
    assert check_consistency(0, 0, [], root_hash([]), root_hash([])) is None


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5), (9, 5)])
def test_no_proof_for_a_leaf_that_is_not_there(index: int, size: int, tiles: Tiles) -> None:
    with pytest.raises(LogError, match="L122") as caught:
        inclusion_proof(index, size, node_reader(size, tiles))
    assert str(index) in caught.value.observed


def test_no_proof_backwards(tiles: Tiles) -> None:
    with pytest.raises(LogError, match="L122"):
        consistency_proof(6, 5, node_reader(5, tiles))
