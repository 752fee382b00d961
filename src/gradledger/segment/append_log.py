"""A log that grows by whole records: what was written survives the death of the process.

A record goes to the operating system in one write, framed by its length and a checksum. After a
kill the last record is there or it is not; a torn one ends the reading. Nothing is flushed to the
disk here: against a loss of power, rows are safe once their segment is sealed.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.segment.files import Buffer, cannot_read, cannot_write, make_folder

#: Checksum, length of head and body: ``crc32 head body\n`` in hex digits, all of fixed width.
_FRAME_BYTES: Final = 8 + 1 + 8 + 1 + 12 + 1


@dataclass(frozen=True)
class LogRecord:
    """One record: a JSON object and, where there are many numbers, bytes."""

    head: dict[str, Any]
    body: bytes


class AppendLog:
    """Appends records to a file that must not exist yet.

    Args:
        path: The file; folders that lack are made.

    Raises:
        StorageError: The disk refuses. Code S112.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._good = self._length = 0
        try:
            make_folder(path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, head: Mapping[str, Any], body: Buffer = b"") -> None:
        """Append one record.

        Raises:
            StorageError: The disk refuses; the records before are whole. Code S112.
        """
        text = json.dumps(head, separators=(",", ":"), allow_nan=True).encode()
        content = memoryview(b"".join((text, body)))
        frame = f"{zlib.crc32(content):08x} {len(text):08x} {len(body):012x}\n".encode()
        record = memoryview(b"".join((frame, content, b"\n")))
        try:
            if self._length != self._good:
                self._cut(self._good)
            while record:
                done = os.write(self._descriptor, record)
                self._length += done
                record = record[done:]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._cut(self._good)
            raise cannot_write(self.path, error) from error
        self._good = self._length

    def clear(self) -> None:
        """Forget all records: what they say is sealed.

        Raises:
            StorageError: The disk refuses. Code S112.
        """
        try:
            self._cut(0)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self, *, remove: bool = False) -> None:
        """Close the file, and remove it and its folder where asked; once is enough.

        Raises:
            StorageError: The disk does not let the file go. Code S112.
        """
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError):
                os.close(descriptor)
            if remove:
                remove_append_log(self.path)

    def _cut(self, length: int) -> None:
        os.ftruncate(self._descriptor, length)
        self._good = self._length = length


def remove_append_log(path: Path) -> None:
    """Remove a log that nobody needs any more, and its folder where nothing else is in it.

    Raises:
        StorageError: The disk does not let the file go. Code S112.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def read_append_log(path: Path) -> list[LogRecord]:
    """Return the whole records of a log; a torn one and what follows it are left out.

    Raises:
        StorageError: The file cannot be read. Code S113.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cannot_read(path, error) from error
    records = []
    place = 0
    while (record := _record(content, place)) is not None:
        found, place = record
        records.append(found)
    return records


def read_append_heads(path: Path) -> list[dict[str, Any]]:
    """Return the heads of the whole records of a log, without reading their bodies.

    A log that is being written may end in a torn record, which is left out. Checksums cover the
    bodies too and are not checked: this is for showing how far a writer is, not for restoring.

    Raises:
        StorageError: The file cannot be read. Code S113.
    """
    heads: list[dict[str, Any]] = []
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            while True:
                frame = stream.read(_FRAME_BYTES)
                try:
                    _, head, body = (int(part, 16) for part in frame.split())
                    if stream.tell() + head + body + 1 > size:
                        return heads
                    heads.append(json.loads(stream.read(head)))
                except ValueError:
                    return heads
                stream.seek(body + 1, os.SEEK_CUR)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise cannot_read(path, error) from error


def _record(content: bytes, place: int) -> tuple[LogRecord, int] | None:
    frame = content[place : place + _FRAME_BYTES]
    try:
        checksum, head, body = (int(part, 16) for part in frame.split())
    except ValueError:
        return None
    start = place + _FRAME_BYTES
    stop = start + head + body
    whole = content[start:stop]
    if content[stop : stop + 1] != b"\n" or zlib.crc32(whole) != checksum:
        return None
    return LogRecord(json.loads(whole[:head]), whole[head:]), stop + 1
