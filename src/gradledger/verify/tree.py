"""The tree of a log, computed again from its leaves, against every tile and checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from gradledger.errors import LogError
from gradledger.log import (
    DESCRIPTION_NAME,
    HISTORY_FOLDER,
    LAST_SIGNED_NAME,
    WAITING_NAME,
)
from gradledger.merkle import (
    EMPTY_ROOT,
    ENTRIES_LEVEL,
    TILE_WIDTH,
    Frontier,
    TileId,
    decode_bundle,
    encode_bundle,
    join_tile,
    leaf_hash,
    tiles_of,
)
from gradledger.segment import LOCK_NAME, cannot_read, is_temporary
from gradledger.verify.finding import Finding
from gradledger.verify.odd_leaves import first_difference, odd_leaves
from gradledger.verify.statements import Statements, read_bytes


@dataclass
class Tree:
    """A tree as its leaves make it.

    Attributes:
        leaves: Published leaves, then those that wait.
        num_published: How many the last checkpoint covers.
        roots: Root hash at each size that somebody wrote down.
        hashes: Level and number of a tile -> its hashes so far.
    """

    leaves: list[bytes] = field(default_factory=list)
    num_published: int = 0
    roots: dict[int, bytes] = field(default_factory=lambda: {0: EMPTY_ROOT})
    hashes: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)

    def content(self, tile: TileId) -> bytes | None:
        """Return what the file of a tile must hold; None where the tree has no such tile."""
        if tile.level == ENTRIES_LEVEL:
            start = tile.number * TILE_WIDTH
            leaves = self.leaves[start : start + tile.width]
            return encode_bundle(leaves) if len(leaves) == tile.width else None
        hashes = self.hashes.get((tile.level, tile.number), [])[: tile.width]
        return join_tile(hashes) if len(hashes) == tile.width else None


def check_tree(log_dir: Path, found: Statements) -> tuple[Tree | None, list[Finding]]:
    """Read the leaves, rebuild the tree, and compare all that the log's folder holds.

    Returns:
        The tree, None where the leaves cannot be told; and what was found.

    Raises:
        StorageError: A file cannot be read. Code S113.
    """
    if found.head is None:
        return None, []
    leaves, findings = _read_leaves(log_dir, found.head.size)
    if findings:
        return None, findings
    tree = _build(leaves, found.head.size, found)
    findings += _check_claims(tree, found)
    if tree.roots[tree.num_published] != found.head.root:
        for number in range(-(-tree.num_published // TILE_WIDTH)):
            bundle = tree.leaves[: tree.num_published][number * TILE_WIDTH :][:TILE_WIDTH]
            findings += odd_leaves(log_dir, number, encode_bundle(bundle))
    present = _present(log_dir, _small_files(found))
    findings += _check_content(log_dir, tree, present)
    findings += _check_present(tree, found, set(present.values()))
    return tree, findings


def _read_leaves(log_dir: Path, size: int) -> tuple[list[bytes], list[Finding]]:
    leaves: list[bytes] = []
    for number in range(-(-size // TILE_WIDTH)):
        partial = TileId(ENTRIES_LEVEL, number, min(TILE_WIDTH, size - number * TILE_WIDTH))
        for tile in (partial, partial.full):
            content = read_bytes(log_dir / tile.path)
            if content is None:
                continue
            try:
                leaves += decode_bundle(content, tile.width)[: partial.width]
            except LogError as error:
                wrong = Finding("V106", f"log/{tile.path}", error.observed, error.expected)
                # Behind a length that is wrong every leaf looks altered: the first one is.
                return [], [wrong, *islice(odd_leaves(log_dir, number, content), 1)]
            break
        else:
            place = f"log/{partial.path}"
            return [], [Finding("V105", place, "no file", f"{partial.width} leaves")]
    return leaves, []


def _build(leaves: list[bytes], size: int, found: Statements) -> Tree:
    tree = Tree(leaves=leaves, num_published=size)
    for index, leaf in found.waiting:
        if index == len(tree.leaves):
            tree.leaves.append(leaf)
    wanted = {size, *(claimed for claimed, _, _ in found.claims())}
    frontier = Frontier()
    for leaf in tree.leaves:
        for tile, hashes in frontier.append(leaf_hash(leaf)):
            tree.hashes[tile.level, tile.number] = hashes
        if frontier.size in wanted:
            tree.roots[frontier.size] = frontier.root()
    partial = filter(None, frontier.levels)
    for tile, rest in zip(Frontier.partial_tiles(frontier.size), partial, strict=True):
        tree.hashes[tile.level, tile.number] = list(rest)
    return tree


def _check_claims(tree: Tree, found: Statements) -> Iterator[Finding]:
    """Compare every root hash that was written down with the leaves'."""
    if found.head and tree.roots[tree.num_published] != found.head.root:
        expected = tree.roots[tree.num_published].hex()
        yield Finding("V107", f"log/{found.head_name}", found.head.root.hex(), expected)
    for size, root, name in found.claims():
        if size not in tree.roots:
            observed, expected = f"{len(tree.leaves)} leaves", f"{size}, as was signed"
            yield Finding("V109", f"log/{name}", observed, expected)
        elif tree.roots[size] != root:
            expected = f"{tree.roots[size].hex()} at size {size}"
            yield Finding("V108", f"log/{name}", root.hex(), expected)
    num_waiting = len(tree.leaves) - tree.num_published
    if num_waiting:
        yield Finding("V903", f"log/{WAITING_NAME}", f"{num_waiting} leaves", "none")


def _small_files(found: Statements) -> set[str]:
    names = {DESCRIPTION_NAME, LOCK_NAME, WAITING_NAME, found.head_name}
    names |= {f"{HISTORY_FOLDER}/{size}" for size in found.history}
    return names | ({LAST_SIGNED_NAME} if found.description.signed else set())


def _present(log_dir: Path, small: set[str]) -> dict[str, TileId | None]:
    """Return every file but the small ones, with the tile that its name stands for."""
    names = (path.relative_to(log_dir).as_posix() for path in _files(log_dir))
    return {name: TileId.parse(name) for name in names if name not in small}


def _check_content(
    log_dir: Path, tree: Tree, present: dict[str, TileId | None]
) -> Iterator[Finding]:
    """Compare every tile and bundle with the leaves."""
    for name, tile in present.items():
        path = log_dir / name
        content = tree.content(tile) if tile and not path.is_symlink() else None
        if content is None:
            yield Finding("V110", f"log/{name}", "a file", "none of this name")
        elif (found := read_bytes(path)) != content:
            part = first_difference(tile, found or b"", content)
            yield Finding("V106", f"log/{name}{part}", "other bytes", "what the leaves hash to")


def _check_present(tree: Tree, found: Statements, present: set[TileId | None]) -> Iterator[Finding]:
    """Look for tiles that the last tree, or that of an earlier checkpoint, asks for."""
    wanted = set(tiles_of(tree.num_published))
    for size in found.history:
        wanted |= set(Frontier.partial_tiles(size))
        if size % TILE_WIDTH:
            wanted.add(TileId(ENTRIES_LEVEL, size // TILE_WIDTH, size % TILE_WIDTH))
    for tile in sorted(wanted):
        if tile not in present and tile.full not in present:
            yield Finding("V105", f"log/{tile.path}", "no file", f"a tile of width {tile.width}")


def _files(folder: Path) -> Iterable[Path]:
    """Return all files, and links to folders: what lies behind those is not the log's."""
    try:
        return sorted(
            path
            for path in folder.rglob("*")
            if (path.is_symlink() or not path.is_dir()) and not is_temporary(path.name)
        )
    except OSError as error:
        raise cannot_read(folder, error) from error
