"""The reading side of a log: leaves, proofs and receipts. It needs no key and no writer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gradledger.errors import LogError
from gradledger.log.description import LOG_FOLDER, LogDescription
from gradledger.log.head import read_head
from gradledger.log.receipt import Receipt
from gradledger.log.store import TileStore
from gradledger.merkle import TILE_WIDTH, consistency_proof, inclusion_proof, tree_root


class LogReader:
    """A log as its last checkpoint shows it.

    Args:
        run_dir: The run.

    Attributes:
        log_dir: Folder of the log.
        description: Origin and keys.
        checkpoint: The last checkpoint; signatures are not checked here.
        store: Tiles and bundles.

    Raises:
        LogError: There is no log (L132), or its checkpoint is malformed (L111, L113) or that of
            another log (L132).
        StorageError: A file cannot be read. Code S113.
    """

    def __init__(self, run_dir: Path) -> None:
        self.log_dir = Path(run_dir) / LOG_FOLDER
        self.description = LogDescription.read(self.log_dir)
        self.checkpoint = read_head(self.log_dir, self.description)
        self.store = TileStore(self.log_dir)

    @property
    def origin(self) -> str:
        """Name of the log."""
        return self.description.origin

    @property
    def size(self) -> int:
        """Tree size of the last checkpoint."""
        return self.checkpoint.size

    @property
    def signed(self) -> bool:
        """Whether checkpoints of this log are signed."""
        return self.description.signed

    def leaf(self, index: int) -> bytes:
        """Return a leaf.

        Raises:
            LogError: There is no such leaf (L122), or its bundle is damaged (L132).
            StorageError: A file cannot be read. Code S113.
        """
        self._check_range(index, self.size - 1, "index")
        number, place = divmod(index, TILE_WIDTH)
        return self.store.leaves(number, self._width(number))[place]

    def leaves(self) -> Iterator[bytes]:
        """Give all leaves, from the first.

        Raises:
            LogError: A bundle is damaged. Code L132.
            StorageError: A file cannot be read. Code S113.
        """
        for number in range(-(-self.size // TILE_WIDTH)):
            yield from self.store.leaves(number, self._width(number))

    def root(self, size: int) -> bytes:
        """Return the root hash at a tree size, from the tiles.

        Raises:
            LogError: There is no such size (L122), or a tile is damaged (L132).
            StorageError: A file cannot be read. Code S113.
        """
        self._check_range(size, self.size, "tree size")
        return tree_root(size, self.store.reader(self.size))

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the inclusion proof of a leaf at a tree size; None for the last checkpoint's.

        Raises:
            LogError: There is no such leaf or size (L122), or a tile is damaged (L132).
            StorageError: A file cannot be read. Code S113.
        """
        size = self.size if size is None else size
        self._check_range(size, self.size, "tree size")
        return inclusion_proof(index, size, self.store.reader(self.size))

    def consistency_proof(self, old_size: int, new_size: int | None = None) -> list[bytes]:
        """Return the proof that one tree size extends another; None for the last checkpoint's.

        Raises:
            LogError: There are no such sizes (L122), or a tile is damaged (L132).
            StorageError: A file cannot be read. Code S113.
        """
        new_size = self.size if new_size is None else new_size
        self._check_range(new_size, self.size, "tree size")
        return consistency_proof(old_size, new_size, self.store.reader(self.size))

    def receipt(self, index: int, *, extra: bytes = b"") -> Receipt:
        """Return the receipt of a leaf: its index, inclusion proof and the last checkpoint.

        Args:
            index: Place of the leaf.
            extra: Further data for the receiver; nothing vouches for it.

        Raises:
            LogError: There is no such leaf (L122), or a tile is damaged (L132).
            StorageError: A file cannot be read. Code S113.
        """
        return Receipt(index, tuple(self.inclusion_proof(index)), self.checkpoint, extra)

    def _width(self, number: int) -> int:
        return min(TILE_WIDTH, self.size - number * TILE_WIDTH)

    def _check_range(self, value: int, highest: int, what: str) -> None:
        if not 0 <= value <= highest:
            raise LogError(
                "L122",
                observed=f"{what} {value}",
                expected=f"0 to {highest}" if highest >= 0 else "a log with leaves",
                where=str(self.log_dir),
                hint="publish first, if the leaf was appended only just now",
            )
