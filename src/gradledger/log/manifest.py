"""The manifest of a run: path, length and SHA-256 of every file, and the check against it.

Left out are the manifest itself, the lock of a living writer, temporary files that a crash left
behind (nothing reads them), the folder of private salts, which may be destroyed on purpose, and the
log, which has a root hash of its own and grows after the close.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Final

from gradledger.errors import InputError, StorageError
from gradledger.log.description import LOG_FOLDER
from gradledger.segment import LOCK_NAME, cannot_read, is_temporary, read_json, write_json

MANIFEST_FORMAT: Final = "gradledger.manifest/1"
MANIFEST_NAME: Final = "manifest.json"
#: Folder of a run that never leaves the machine.
PRIVATE_FOLDER: Final = "private"

#: Code of a difference -> what it means.
DIFFERENCE_CODES: Final[dict[str, str]] = {
    "added": "a file that the manifest does not name",
    "altered": "a file whose length or digest is not the manifest's",
    "malformed": "a manifest that cannot be understood",
    "missing": "a file that the manifest names and that is not there",
    "unsafe": "a link, a device or a path that leads out of the run",
}

_LEFT_OUT: Final = frozenset({MANIFEST_NAME, LOCK_NAME, PRIVATE_FOLDER, LOG_FOLDER})
_NONE: Final[Mapping[str, tuple[int, str]]] = MappingProxyType({})
_CHUNK_BYTES: Final = 1 << 20
_HEX_DIGITS: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class FileEntry:
    """One file of a run.

    Attributes:
        path: Below the run, with slashes.
        num_bytes: Length.
        sha256: Digest, 64 hex digits.
    """

    path: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Difference:
    """One way in which a run is not what its manifest says.

    Attributes:
        code: A key of ``DIFFERENCE_CODES``.
        place: File below the run, with slashes.
        observed: What is there.
        expected: What the manifest says.
    """

    code: str
    place: str
    observed: str
    expected: str


def write_manifest(run_dir: Path) -> str:
    """Digest every file of a run and write ``manifest.json``; replaces an earlier one.

    Args:
        run_dir: The run.

    Returns:
        SHA-256 of the manifest, 64 hex digits.

    Raises:
        StorageError: The run holds a link or a device, or a name that cannot be written (S131); a
            file cannot be read (S113); the disk refuses (S112).
    """
    run_dir = Path(run_dir)
    entries = []
    for path, odd in list_files(run_dir):
        if odd:
            raise StorageError(
                "S131",
                observed=f"{odd} at {path}",
                expected="ordinary files and folders",
                where=str(run_dir),
                hint="replace it by the file itself",
            )
        entries.append(file_entry(run_dir, path))
    record = {"format": MANIFEST_FORMAT, "files": sorted(entries, key=lambda entry: entry.path)}
    return write_json(run_dir / MANIFEST_NAME, record)


def check_manifest(
    run_dir: Path, digests: Mapping[str, tuple[int, str]] = _NONE
) -> list[Difference]:
    """Compare every file of a run with its manifest.

    Args:
        run_dir: The run.
        digests: Length and SHA-256 of files that were digested just now, and need not be again.

    Returns:
        All differences, sorted by place; empty where there is none.

    Raises:
        StorageError: A file or folder cannot be read, so that nothing can be said. Code S113.
    """
    run_dir = Path(run_dir)
    if not (run_dir / MANIFEST_NAME).exists():
        return [Difference("missing", MANIFEST_NAME, "no file", "the manifest of a closed run")]
    if (run_dir / MANIFEST_NAME).is_symlink():
        return [Difference("unsafe", MANIFEST_NAME, "a symbolic link", "an ordinary file")]
    try:
        entries = _parse(read_json(run_dir / MANIFEST_NAME))
    except (InputError, _MalformedError) as error:
        observed = error.observed if isinstance(error, InputError) else str(error)
        return [Difference("malformed", MANIFEST_NAME, observed, f"a {MANIFEST_FORMAT}")]
    found = dict(list_files(run_dir))
    differences = [*_refusals(entries, found)]
    for path, entry in entries.items():
        if _escapes(path) or found.get(path):
            continue
        if path not in found:
            differences.append(Difference("missing", path, "no file", _shown(entry)))
        elif digests.get(path) == (entry.num_bytes, entry.sha256):
            continue
        elif (seen := file_entry(run_dir, path, entry.num_bytes)) != entry:
            differences.append(Difference("altered", path, _shown(seen), _shown(entry)))
    differences += [
        Difference("added", path, "a file", "no file of this name")
        for path, odd in found.items()
        if not odd and path not in entries
    ]
    return sorted(differences, key=lambda difference: (difference.place, difference.code))


def manifest_entries(run_dir: Path) -> dict[str, FileEntry]:
    """Return what the manifest says of every file, by path; empty where there is no readable one.

    For a check of the whole, and of the manifest itself, see ``check_manifest``.
    """
    try:
        return _parse(read_json(Path(run_dir) / MANIFEST_NAME))
    except (InputError, StorageError, _MalformedError):
        return {}


class _MalformedError(Exception):
    """The manifest does not have the form that it should."""


def _refusals(entries: dict[str, FileEntry], found: dict[str, str]) -> Iterator[Difference]:
    """Name what must not be opened at all."""
    for path in entries:
        if _escapes(path):
            yield Difference("unsafe", path, "a path that leads elsewhere", "a path below the run")
    for path, odd in found.items():
        if odd:
            yield Difference("unsafe", path, odd, "an ordinary file")


def list_files(run_dir: Path) -> Iterator[tuple[str, str]]:
    """Give the path of every file that a manifest names, and what is odd about it.

    Raises:
        StorageError: A folder cannot be read. Code S113.
    """
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(run_dir / folder) as listing:
                inside = sorted(listing, key=lambda item: item.name)
        except OSError as error:
            raise cannot_read(run_dir / folder, error) from error
        for item in inside:
            path = f"{folder}/{item.name}" if folder else item.name
            if is_temporary(item.name) or (not folder and item.name in _LEFT_OUT):
                continue
            if item.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield path, _oddity(item)


def _oddity(item: os.DirEntry[str]) -> str:
    if item.is_symlink():
        return "a symbolic link"
    if not stat.S_ISREG(item.stat(follow_symlinks=False).st_mode):
        return "a device, pipe or socket"
    try:
        item.name.encode()
    except UnicodeEncodeError:
        return "a name that is not UTF-8"
    return ""


def file_entry(run_dir: Path, path: str, num_expected: int | None = None) -> FileEntry:
    """Digest one file in chunks; one of another length than expected need not be read.

    Raises:
        StorageError: It cannot be read. Code S113.
    """
    hasher, num_bytes = hashlib.sha256(), 0
    # A link that replaced the file since it was listed is not followed either.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(run_dir / path, flags)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            length = os.fstat(file.fileno()).st_size
            if num_expected is not None and length != num_expected:
                return FileEntry(path, length, "")
            buffer = memoryview(bytearray(_CHUNK_BYTES))
            while count := file.readinto(buffer):
                hasher.update(buffer[:count])
                num_bytes += count
    except OSError as error:
        raise cannot_read(run_dir / path, error) from error
    return FileEntry(path, num_bytes, hasher.hexdigest())


def _parse(record: Any) -> dict[str, FileEntry]:
    if not isinstance(record, dict) or record.get("format") != MANIFEST_FORMAT:
        shown = record.get("format") if isinstance(record, dict) else type(record).__name__
        message = f"format {shown!r:.100}"
        raise _MalformedError(message)
    entries: dict[str, FileEntry] = {}
    listed = record.get("files")
    if not isinstance(listed, list):
        message = "no list of files"
        raise _MalformedError(message)
    for item in listed:
        if not _well_formed(item) or item["path"] in entries:
            message = f"the entry {item!r:.200}"
            raise _MalformedError(message)
        entries[item["path"]] = FileEntry(**item)
    return entries


def _well_formed(item: Any) -> bool:
    if not isinstance(item, dict) or item.keys() != {"path", "num_bytes", "sha256"}:
        return False
    path, num_bytes, sha256 = item["path"], item["num_bytes"], item["sha256"]
    return (
        isinstance(path, str)
        and type(num_bytes) is int
        and num_bytes >= 0
        and isinstance(sha256, str)
        and len(sha256) == 2 * hashlib.sha256().digest_size
        and _HEX_DIGITS.issuperset(sha256)
    )


def _escapes(path: str) -> bool:
    """Whether a path is anything but plain names below the run."""
    parts = path.split("/")
    return (
        "\\" in path
        or "\0" in path
        or ":" in parts[0]
        or any(part in {"", ".", ".."} for part in parts)
        or PurePosixPath(path).is_absolute()
    )


def _shown(entry: FileEntry) -> str:
    return f"{entry.num_bytes} bytes" + (f", SHA-256 {entry.sha256}" if entry.sha256 else "")
