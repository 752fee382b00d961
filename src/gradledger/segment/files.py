"""Write files so that a reader meets the old content or the new, never a part.

Content goes to a temporary file in the same folder, is flushed to the disk, renamed into place,
and the folder is flushed too. A crash leaves at most a temporary file, which nothing reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import Final

from gradledger.errors import StorageError

Buffer = bytes | bytearray | memoryview

_PREFIX: Final = "."
_SUFFIX: Final = ".tmp"
#: Small writes are gathered: a Parquet writer makes two per column.
_BUFFER_BYTES: Final = 1 << 20


def temporary_path(path: Path) -> Path:
    """Return a fresh name next to ``path`` that every reader of a run passes over."""
    return path.with_name(f"{_PREFIX}{path.name}.{secrets.token_hex(4)}{_SUFFIX}")


def is_temporary(name: str) -> bool:
    """Whether a file or folder name is one of those that a crash may leave behind."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


class AtomicFile:
    """A file that appears under its name only when all of it is on the disk.

    Leaving the context publishes the file; leaving it with an error removes the temporary file
    and keeps what was there before.

    Args:
        path: Final name; folders that lack are made.
        mode: Permission bits before the umask.

    Attributes:
        num_bytes: Bytes written so far.

    Raises:
        StorageError: The disk refuses (full, permissions, ...). Code S112.
    """

    def __init__(self, path: Path, *, mode: int = 0o666) -> None:
        self.path, self.num_bytes, self.closed = path, 0, False
        self._digest, self._pending = hashlib.sha256(), bytearray()
        self._temporary = temporary_path(path)
        try:
            make_folder(path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
            self._descriptor = os.open(self._temporary, flags, mode)
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, content: Buffer) -> int:
        """Append bytes; after the file was closed they are dropped.

        Parquet writers try to end a file even when it failed: that must not fail again.
        """
        view = memoryview(content).cast("B")
        if not self.closed:
            self._digest.update(view)
            self._pending += view
            self.num_bytes += len(view)
            if len(self._pending) >= _BUFFER_BYTES:
                self._write_pending()
        return len(view)

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.num_bytes

    def flush(self) -> None:
        """Do nothing: bytes are flushed when the file is published."""

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written, 64 hex digits."""
        return self._digest.hexdigest()

    def publish(self) -> None:
        """Flush to the disk and take the final name.

        Raises:
            StorageError: The disk refuses; the earlier content is kept, or the new is complete but
                may not survive a loss of power. Code S112.
        """
        try:
            self._write_pending()
            os.fsync(self._descriptor)
            self._close()
            os.replace(self._temporary, self.path)  # noqa: PTH105  (one call that a test can fail)
            sync_folder(self.path.parent)
        except OSError as error:
            self.discard()
            raise cannot_write(self.path, error) from error

    def discard(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _write_pending(self) -> None:
        pending, self._pending = self._pending, bytearray()
        view = memoryview(pending)
        done = 0
        while done < len(view):
            done += os.write(self._descriptor, view[done:])

    def _close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)

    def __enter__(self) -> AtomicFile:
        """Hand out the open file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Publish, or discard after an error."""
        if error is None:
            self.publish()
            return
        self.discard()
        if isinstance(error, OSError):
            raise cannot_write(self.path, error) from error


def write_bytes_atomic(path: Path, content: Buffer, *, mode: int = 0o666) -> str:
    """Write a file atomically; return its SHA-256 as 64 hex digits.

    Args:
        path: Final name; folders that lack are made.
        content: All of the file.
        mode: Permission bits before the umask.

    Raises:
        StorageError: The disk refuses. Code S112.
    """
    with AtomicFile(path, mode=mode) as file:
        file.write(content)
    return file.sha256


def remove_folder(folder: Path) -> None:
    """Remove a folder of a run; a crash leaves all of it, or what every reader passes over.

    Raises:
        StorageError: The disk refuses. Code S112.
    """
    aside = temporary_path(folder)
    try:
        folder.rename(aside)
        sync_folder(folder.parent)
        shutil.rmtree(aside)
    except OSError as error:
        raise cannot_write(folder, error) from error


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each flushed into the one above."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def ensure_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder of a run where it lacks.

    Args:
        folder: Parents that lack are made too.
        mode: Permission bits of the folder itself, before the umask.

    Raises:
        StorageError: The disk refuses. Code S112.
    """
    try:
        make_folder(folder.parent)
        folder.mkdir(mode=mode, exist_ok=True)
        sync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error


def sync_folder(folder: Path) -> None:
    """Flush the names of a folder to the disk, where the platform can."""
    flags = getattr(os, "O_DIRECTORY", None)
    if flags is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> StorageError:
    """Return the error for a disk that refuses."""
    return StorageError(
        "S112",
        observed=error.strerror or str(error) or type(error).__name__,
        expected="a folder that can be written, with room",
        where=str(path),
        hint="free space or change permissions, then try again: nothing sealed was lost",
    )


def cannot_read(path: Path, error: OSError) -> StorageError:
    """Return the error for a file that cannot be read."""
    return StorageError(
        "S113",
        observed=error.strerror or str(error) or type(error).__name__,
        expected="a file that can be read",
        where=str(path),
        hint="check that the path is right and that you may read it",
    )
