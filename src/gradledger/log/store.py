"""Tiles and bundles of leaves as files that are written once."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Final

from gradledger.errors import LogError
from gradledger.merkle import (
    ENTRIES_LEVEL,
    TILE_WIDTH,
    NodeReader,
    TileId,
    decode_bundle,
    node_reader,
    split_tile,
)
from gradledger.segment import cannot_read, cannot_write, write_bytes_atomic

_KEPT_TILES: Final = 64


class TileStore:
    """The files below ``tile/`` of a log.

    Args:
        log_dir: Folder of the log.
    """

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = Path(log_dir)
        self._kept: OrderedDict[TileId, list[bytes]] = OrderedDict()

    def put(self, tile: TileId, content: bytes) -> None:
        """Write a tile; one that is there with the same content stays as it is.

        Raises:
            LogError: It is there with other content. Code L133.
            StorageError: The disk refuses. Codes S112 and S113.
        """
        path = self.log_dir / tile.path
        if path.exists():
            if _read(path) != content:
                raise LogError(
                    "L133",
                    observed="other content on the disk",
                    expected="a tile that never changes",
                    where=str(path),
                    hint="verify the run: the log was altered, or two writers were at it",
                )
            return
        write_bytes_atomic(path, content)

    def hashes(self, tile: TileId) -> list[bytes]:
        """Return the hashes of a tile, or the first ones of the full tile that it has become.

        Raises:
            LogError: The tile lacks or has another length. Code L132.
            StorageError: The file cannot be read. Code S113.
        """
        if tile not in self._kept:
            content, whole = self._content(tile)
            self._kept[tile] = split_tile(content, whole.width)[: tile.width]
            if len(self._kept) > _KEPT_TILES:
                self._kept.popitem(last=False)
        return self._kept[tile]

    def leaves(self, number: int, width: int) -> list[bytes]:
        """Return the first leaves of a bundle.

        Raises:
            LogError: The bundle lacks or is malformed. Code L132.
            StorageError: The file cannot be read. Code S113.
        """
        content, whole = self._content(TileId(ENTRIES_LEVEL, number, width))
        return decode_bundle(content, whole.width)[:width]

    def reader(self, size: int) -> NodeReader:
        """Return a reader of the nodes of the tree of a size."""
        return node_reader(size, self.hashes)

    def drop_partial(self, tile: TileId) -> None:
        """Remove the partial forms of a tile that is full now; the log can do without them.

        Raises:
            StorageError: The disk refuses. Code S112.
        """
        full = self.log_dir / tile.full.path
        folder = full.with_name(f"{full.name}.p")
        if tile.width != TILE_WIDTH or not folder.is_dir():
            return
        try:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        except OSError as error:
            raise cannot_write(folder, error) from error

    def _content(self, tile: TileId) -> tuple[bytes, TileId]:
        for candidate in (tile, tile.full):
            path = self.log_dir / candidate.path
            try:
                return path.read_bytes(), candidate
            except FileNotFoundError:
                continue
            except OSError as error:
                raise cannot_read(path, error) from error
        raise LogError(
            "L132",
            observed="no such file",
            expected=f"a tile of width {tile.width}",
            where=str(self.log_dir / tile.path),
            hint="verify the run, and restore the log from a copy",
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
