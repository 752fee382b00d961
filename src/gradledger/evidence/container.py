"""Folders and ZIP files of evidence, read from strangers: bounded, and nothing is ever unpacked.

Files are read into memory and looked at there, so that no name in an archive becomes a path on
this machine. Names are held to one plain form all the same.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gradledger.errors import LogError
from gradledger.evidence.receipt import malformed
from gradledger.segment import cannot_read, cannot_write, make_folder, write_bytes_atomic

MAX_FILES: Final = 100_000
MAX_BYTES: Final = 1 << 30
ZIP_MAGIC: Final = b"PK"
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*", re.ASCII)
_MAX_NAME: Final = 512
_WHAT: Final = "bundle"
#: Entries bear no time, so that the same evidence gives the same bytes.
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)
_FILE_MODE: Final = 0o100644 << 16


def plain_name(name: str) -> bool:
    """Whether a name in a container is plain: no way up, no root, no sign that a system reads."""
    parts = name.split("/")
    return (
        len(name) <= _MAX_NAME
        and _NAME.fullmatch(name) is not None
        and not any(part in {".", ".."} or part.endswith(".") for part in parts)
    )


def read_container(path: Path) -> dict[str, bytes]:
    """Return the files of a folder or of a ZIP file: name -> content.

    Raises:
        LogError: A name is not plain or occurs twice, a file is none, or there is more than the
            limits allow. Code L161.
        StorageError: Something cannot be read. Code S113.
    """
    try:
        return _folder(path) if path.is_dir() else read_zip(path.read_bytes())
    except OSError as error:
        raise cannot_read(path, error) from error


def read_zip(content: bytes) -> dict[str, bytes]:
    """Return the files of a ZIP archive: name -> content.

    Raises:
        LogError: As for ``read_container``. Code L161.
    """
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check_limits(len(entries), sum(entry.file_size for entry in entries))
            for entry in entries:
                kind = stat.S_IFMT(entry.external_attr >> 16)
                odd = entry.orig_filename != entry.filename or entry.flag_bits & 1
                if odd or kind not in {0, stat.S_IFREG}:
                    raise malformed(f"the entry {entry.filename!r:.80}", f"{_WHAT} of plain files")
                _check_name(entry.filename, found)
                with archive.open(entry) as stream:
                    # The size in the directory may lie; no more than it says is ever read.
                    found[entry.filename] = stream.read(entry.file_size)
                    if stream.read(1):
                        raise malformed("an entry longer than it says", _WHAT)
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        if isinstance(error, LogError):
            raise
        raise malformed(
            f"{type(error).__name__}: {error}"[:200], f"{_WHAT} as a ZIP file"
        ) from error
    return found


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder that is made.

    Raises:
        LogError: There is something already. Code L182.
        StorageError: The disk refuses. Code S112.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise _taken(path)
    for name, content in files.items():
        try:
            make_folder((path / name).parent)
        except OSError as error:
            raise cannot_write(path / name, error) from error
        write_bytes_atomic(path / name, content)


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files as one ZIP archive, the same bytes for the same files.

    Raises:
        LogError: There is something already. Code L182.
        StorageError: The disk refuses. Code S112.
    """
    if path.exists():
        raise _taken(path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _FILE_MODE
            archive.writestr(entry, files[name])
    write_bytes_atomic(path, buffer.getvalue())


def _folder(root: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    pending, num_bytes = [root], 0
    while pending:
        with os.scandir(pending.pop()) as listing:
            inside = sorted(listing, key=lambda item: item.name)
        for item in inside:
            name = Path(item.path).relative_to(root).as_posix()
            if item.is_dir(follow_symlinks=False):
                pending.append(Path(item.path))
                continue
            about = item.stat(follow_symlinks=False)
            if not stat.S_ISREG(about.st_mode):
                raise malformed(f"{name!r:.80}, a link or device", f"{_WHAT} of plain files")
            _check_name(name, found)
            num_bytes += about.st_size
            _check_limits(len(found) + 1, num_bytes)
            found[name] = Path(item.path).read_bytes()
    return found


def _check_name(name: str, found: Mapping[str, bytes]) -> None:
    if not plain_name(name):
        raise malformed(f"the name {name!r:.80}", f"{_WHAT} with plain names below it")
    if name in found:
        raise malformed(f"{name} twice", f"{_WHAT} with each file once")


def _check_limits(num_files: int, num_bytes: int) -> None:
    if num_files > MAX_FILES or num_bytes > MAX_BYTES:
        raise malformed(
            f"{num_files} files of {num_bytes} bytes",
            f"{_WHAT} of at most {MAX_FILES} files and {MAX_BYTES} bytes",
        )


def _taken(path: Path) -> LogError:
    return LogError(
        "L182",
        observed="something of that name",
        expected="a free name, or an empty folder",
        where=str(path),
        hint="choose another name: evidence is never overwritten",
    )
