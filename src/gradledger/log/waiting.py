"""Leaves that were taken but are not in a checkpoint yet: a small journal.

``append`` returns only when its leaf is on the disk, so a crash before the next checkpoint loses
none. Each record is its index, the length, the leaf and the leaf hash; a torn tail is cut off.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gradledger.errors import LogError
from gradledger.merkle import HASH_BYTES, leaf_hash
from gradledger.segment import cannot_read, cannot_write, make_folder, sync_folder

WAITING_NAME: Final = "waiting"
_INDEX_BYTES: Final = 8
_LENGTH_BYTES: Final = 2


class WaitingLeaves:
    """The journal of a log, held by its one writer.

    Args:
        log_dir: Folder of the log.
        size: Tree size of the last checkpoint: earlier leaves are dropped.

    Attributes:
        leaves: Leaves from index ``size`` on.

    Raises:
        LogError: The journal is damaged before its end. Code L132.
        StorageError: The disk refuses. Codes S112 and S113.
    """

    def __init__(self, log_dir: Path, size: int) -> None:
        self._path = log_dir / WAITING_NAME
        self.leaves: list[bytes] = []
        self._num_bytes = 0
        for index, leaf, stop in parse_waiting(read_waiting(log_dir)):
            if index > size + len(self.leaves):
                raise _damaged(f"index {index} after {size + len(self.leaves) - 1}")
            if index == size + len(self.leaves):
                self.leaves.append(leaf)
            self._num_bytes = stop

    def append(self, index: int, leaf: bytes) -> None:
        """Take a leaf; it is on the disk when this returns.

        Raises:
            StorageError: The disk refuses; nothing was taken. Code S112.
        """
        record = (
            index.to_bytes(_INDEX_BYTES, "big")
            + len(leaf).to_bytes(_LENGTH_BYTES, "big")
            + leaf
            + leaf_hash(leaf)
        )
        try:
            new = not self._path.exists()
            if new:
                make_folder(self._path.parent)
            flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            descriptor = os.open(self._path, flags, 0o666)
            try:
                os.ftruncate(descriptor, self._num_bytes)
                os.lseek(descriptor, self._num_bytes, os.SEEK_SET)
                done = 0
                while done < len(record):
                    done += os.write(descriptor, record[done:])
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                sync_folder(self._path.parent)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._num_bytes += len(record)
        self.leaves.append(leaf)

    def clear(self) -> None:
        """Forget the leaves: a checkpoint covers them.

        Raises:
            StorageError: The disk refuses; the leaves are dropped at the next opening. Code S112.
        """
        self.leaves, self._num_bytes = [], 0
        try:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        except OSError as error:
            raise cannot_write(self._path, error) from error


def read_waiting(log_dir: Path) -> bytes:
    """Return the journal's bytes; none where there is no journal.

    Raises:
        StorageError: It cannot be read. Code S113.
    """
    path = log_dir / WAITING_NAME
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise cannot_read(path, error) from error


def parse_waiting(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Give index, leaf and end of each record; a tail that a crash tore is passed over.

    Raises:
        LogError: A record before the end is damaged. Code L132.
    """
    start = 0
    while start < len(content):
        place = start + _INDEX_BYTES + _LENGTH_BYTES
        length = int.from_bytes(content[start + _INDEX_BYTES : place], "big")
        leaf, stop = content[place : place + length], place + length + HASH_BYTES
        if stop > len(content) or content[place + length : stop] != leaf_hash(leaf):
            # Records are flushed one by one: only the last can be torn, or be all zeros.
            if stop < len(content) and any(content[start:]):
                raise _damaged(f"a record at byte {start} whose hash is not its leaf's")
            return
        yield int.from_bytes(content[start : start + _INDEX_BYTES], "big"), leaf, stop
        start = stop


def _damaged(observed: str) -> LogError:
    return LogError(
        "L132",
        observed=observed,
        expected="whole records of consecutive leaves",
        where=WAITING_NAME,
        hint="verify the run, and restore the log from a copy",
    )
