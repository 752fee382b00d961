"""The writing side of a log: append leaves, publish checkpoints.

The order of writes is what makes a crash harmless. A leaf is on the disk before ``append`` returns.
``publish`` writes tiles and bundles, then what is about to be signed, then the signed checkpoint,
and only then forgets the journal. Whatever step it dies in, the next opening goes on from there and
comes to the same tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from gradledger.canon import leaf_bytes
from gradledger.errors import LogError
from gradledger.log.checkpoint import Checkpoint
from gradledger.log.cosigning import Cosigner, cosigned_head
from gradledger.log.description import DESCRIPTION_NAME, LOG_FOLDER, LogDescription
from gradledger.log.head import release_head
from gradledger.log.keys import KeyKind, SigningKey
from gradledger.log.names import check_name
from gradledger.log.opening import complete_rotation, fitting_signer, restore_frontier, unfit
from gradledger.log.reader import LogReader
from gradledger.log.receipt import Receipt
from gradledger.log.waiting import WaitingLeaves
from gradledger.merkle import (
    EMPTY_ROOT,
    ENTRIES_LEVEL,
    TILE_WIDTH,
    Frontier,
    TileId,
    encode_bundle,
    join_tile,
    leaf_hash,
)
from gradledger.schema import KeyLeaf
from gradledger.segment import RunLock, cannot_write, make_folder

MAX_LEAF_BYTES: Final = (1 << 16) - 1


class Log:
    """The one writer of a log. Made by ``create`` or ``open``; a context manager.

    Args:
        run_dir: The run.
        signer: Key that signs; None for an unsigned log.

    Raises:
        LogError: See ``open``.
        StorageError: Another writer holds the log (S111), or the disk refuses (S112, S113).
    """

    def __init__(self, run_dir: Path, signer: SigningKey | None) -> None:
        self.run_dir = Path(run_dir)
        LogDescription.read(self.run_dir / LOG_FOLDER)  # a run without a log has nothing to lock
        self._lock = RunLock(self.run_dir / LOG_FOLDER)
        try:
            self._reader = LogReader(self.run_dir)
            complete_rotation(self._reader)
            self._signer = fitting_signer(signer, self._reader)
            self._frontier = restore_frontier(self._reader)
            self._waiting = WaitingLeaves(self._reader.log_dir, self._reader.size)
        except BaseException:
            self._lock.release()
            raise

    @staticmethod
    def create(run_dir: Path, origin: str, signer: SigningKey | None = None) -> Log:
        """Begin the log of a run, with the checkpoint of the empty tree.

        Args:
            run_dir: The run; made if it lacks.
            origin: Name of the log, such as ``example.org/runs/7``; no two logs may share it.
            signer: Key that signs, under the log's origin whatever its own name; None for an
                unsigned log, whose files say so.

        Raises:
            LogError: There is a log already (L131), the origin is no name (L105), or the key is a
                witness's (L136).
            StorageError: Another writer holds it (S111), or the disk refuses (S112).
        """
        log_dir = Path(run_dir) / LOG_FOLDER
        check_name(origin, "origin")
        if signer is not None and signer.kind is not KeyKind.LOG:
            raise unfit("a witness's key", "a log's key", origin)
        if (log_dir / DESCRIPTION_NAME).exists():
            raise LogError(
                "L131",
                observed="a log",
                expected="a run without one",
                where=str(log_dir),
                hint="open it with Log.open to go on writing",
            )
        try:
            make_folder(log_dir)
        except OSError as error:
            raise cannot_write(log_dir, error) from error
        head = Checkpoint(origin, 0, EMPTY_ROOT)
        keys = () if signer is None else (signer.named(origin).verifier,)
        with RunLock(log_dir):
            # The description comes last: a log without one was never begun.
            release_head(log_dir, head, signer and signer.named(origin), lambda *_: b"")
            LogDescription(origin, keys).write(log_dir)
        return Log(run_dir, signer)

    @staticmethod
    def open(run_dir: Path, signer: SigningKey | None = None) -> Log:
        """Go on writing a log.

        Args:
            run_dir: The run.
            signer: The key that signs it; None for an unsigned log.

        Raises:
            LogError: The log is damaged (L111, L113, L132), or the key does not fit it (L136).
            StorageError: Another writer holds it (S111), or the disk refuses (S112, S113).
        """
        return Log(run_dir, signer)

    @property
    def origin(self) -> str:
        """Name of the log."""
        return self._reader.origin

    @property
    def signed(self) -> bool:
        """Whether its checkpoints are signed."""
        return self._reader.signed

    @property
    def size(self) -> int:
        """Leaves taken, those that wait for the next checkpoint included."""
        return self._reader.size + len(self._waiting.leaves)

    @property
    def checkpoint(self) -> Checkpoint:
        """The last checkpoint."""
        return self._reader.checkpoint

    def leaves(self) -> Iterator[bytes]:
        """Give all leaves, those that wait for the next checkpoint included.

        Raises:
            LogError: A bundle is damaged. Code L132.
            StorageError: A file cannot be read. Code S113.
        """
        yield from self._reader.leaves()
        yield from self._waiting.leaves

    def append(self, leaf: bytes) -> int:
        """Take a leaf; it is on the disk when this returns, and in the next checkpoint.

        Args:
            leaf: 1 to 65535 bytes, such as ``canon.leaf_bytes`` gives.

        Returns:
            Index of the leaf.

        Raises:
            LogError: The leaf's length is not allowed (L121), or the log is closed (L135).
            StorageError: The disk refuses; nothing was taken. Code S112.
        """
        self._check_open()
        if not 1 <= len(leaf) <= MAX_LEAF_BYTES:
            raise LogError(
                "L121",
                observed=f"{len(leaf)} bytes",
                expected=f"1 to {MAX_LEAF_BYTES}",
                where=self.origin,
                hint="log a digest of what is larger, and keep the content beside the log",
            )
        index = self.size
        self._waiting.append(index, bytes(leaf))
        return index

    def publish(self) -> Checkpoint:
        """Put all leaves taken so far under a checkpoint.

        Returns:
            The checkpoint; that of before where nothing was added.

        Raises:
            LogError: A tile is there with other content (L133), the checkpoint would contradict
                one signed before (L134), or the log is closed (L135).
            StorageError: The disk refuses; call again, nothing is lost. Codes S112 and S113.
        """
        self._check_open()
        if not self._waiting.leaves:
            return self.checkpoint
        frontier = self._frontier.copy()
        filled: list[tuple[TileId, list[bytes]]] = []
        for leaf in self._waiting.leaves:
            filled += frontier.append(leaf_hash(leaf))
        for tile, leaves in self._bundles():
            self._reader.store.put(tile, encode_bundle(leaves))
        partial = zip(
            Frontier.partial_tiles(frontier.size), filter(None, frontier.levels), strict=True
        )
        for tile, hashes in [*filled, *partial]:
            self._reader.store.put(tile, join_tile(hashes))
        head = Checkpoint(self.origin, frontier.size, frontier.root())
        self._release(head, self._signer)
        self._frontier = frontier
        self._waiting.clear()
        for tile, _ in filled:
            self._reader.store.drop_partial(tile)
            if tile.level == 0:
                self._reader.store.drop_partial(TileId(ENTRIES_LEVEL, tile.number))
        return self.checkpoint

    def rotate(self, successor: SigningKey, *, run_id: str, recorded_at: str) -> Checkpoint:
        """Hand the log over to another key.

        The present key signs one more checkpoint, over a leaf that names its successor; the
        successor signs the same checkpoint, and all later ones alone.

        Args:
            successor: The key that signs from now on, under the log's origin.
            run_id: The run, for the leaf.
            recorded_at: ISO 8601 UTC, for the leaf.

        Raises:
            LogError: The log is unsigned, or the key is a witness's or the present one (L136); or
                as for ``publish``.
            StorageError: The disk refuses. Codes S112 and S113.
        """
        self._check_open()
        successor = successor.named(self.origin)
        present = self._reader.description.keys[-1:]
        if not present or successor.kind is not KeyKind.LOG or successor.verifier in present:
            raise unfit("no hand-over", "a signed log and another log's key", self.origin)
        leaf = KeyLeaf(
            run_id=run_id,
            recorded_at=recorded_at,
            verifier_key=str(successor.verifier),
            replaces=str(present[0]),
        )
        self.append(leaf_bytes(leaf))
        self.publish()
        head = self._release(self.checkpoint, successor)
        complete_rotation(self._reader)
        self._signer = successor
        return head

    def cosign(self, witness: Cosigner) -> Checkpoint:
        """Have a witness cosign the last checkpoint; see ``cosign_log``."""
        self._check_open()
        self._reader.checkpoint = cosigned_head(self._reader, witness)
        return self._reader.checkpoint

    def receipt(self, index: int, *, extra: bytes = b"") -> Receipt:
        """Return the receipt of a published leaf; see ``LogReader.receipt``."""
        return self._reader.receipt(index, extra=extra)

    def close(self) -> None:
        """Let go of the log. Leaves that were not published wait for the next opening."""
        self._lock.release()

    def __enter__(self) -> Log:
        """Hold the log for a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; nothing is published by leaving."""
        self.close()

    def _release(self, head: Checkpoint, signer: SigningKey | None) -> Checkpoint:
        read_node = self._reader.store.reader(head.size)
        self._reader.checkpoint = release_head(self._reader.log_dir, head, signer, read_node)
        return self._reader.checkpoint

    def _bundles(self) -> Iterator[tuple[TileId, list[bytes]]]:
        """Give the bundles that change between the last checkpoint and the next."""
        old_size, leaves = self._reader.size, self._waiting.leaves
        number, kept = divmod(old_size, TILE_WIDTH)
        first = [*(self._reader.store.leaves(number, kept) if kept else []), *leaves]
        for start in range(0, len(first), TILE_WIDTH):
            bundle = first[start : start + TILE_WIDTH]
            place = (old_size - kept + start) // TILE_WIDTH
            yield TileId(ENTRIES_LEVEL, place, len(bundle)), bundle

    def _check_open(self) -> None:
        if not self._lock.held:
            raise LogError(
                "L135",
                observed="a log that was closed",
                expected="an open one",
                where=str(self._reader.log_dir),
                hint="open it again with Log.open",
            )
