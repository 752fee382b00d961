"""Read a wheel as data: its METADATA and its Python files, in memory, checked against its RECORD.

Nothing is extracted, installed or imported. A wheel is an archive from outside, so sizes, counts
and names are bounded before a byte is believed: the sizes that an archive states may be untrue, so
the limits hold for what is really read.

Source: PEP 427 and the binary distribution format of the packaging specifications.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gradledger.demo.manifest import file_sha256
from gradledger.errors import InputError

__all__ = ["MAX_MEMBERS", "MAX_MEMBER_BYTES", "MAX_TOTAL_BYTES", "Wheel", "WheelFile", "read_wheel"]

#: Entries of one wheel.
MAX_MEMBERS: Final = 20_000
#: Bytes of one entry that is read.
MAX_MEMBER_BYTES: Final = 4 << 20
#: Bytes of all entries that are read, together.
MAX_TOTAL_BYTES: Final = 64 << 20
_RECORD_COLUMNS: Final = 3


@dataclass(frozen=True)
class WheelFile:
    """One Python file of a wheel.

    Attributes:
        path: Path within the wheel, with forward slashes.
        content: The bytes.
        sha256: SHA-256 of the bytes, hex; equal to the one that the publisher's RECORD gives.
    """

    path: str
    content: bytes
    sha256: str


@dataclass(frozen=True)
class Wheel:
    """A wheel, read as data.

    Attributes:
        filename: Name of the wheel file.
        sha256: SHA-256 of the wheel file, hex.
        name: Name of the distribution, as its METADATA gives it.
        version: Version, as its METADATA gives it.
        metadata: Text of METADATA.
        files: Python files, in the order of their paths.
    """

    filename: str
    sha256: str
    name: str
    version: str
    metadata: str
    files: tuple[WheelFile, ...]


def read_wheel(path: Path, *, sha256: str | None = None) -> Wheel:
    """Read the Python files and the METADATA of one wheel.

    Args:
        path: Wheel file.
        sha256: Digest that the file must have, hex; not checked where none is given.

    Returns:
        The wheel; every Python file was found in RECORD with the digest that RECORD gives.

    Raises:
        InputError: I152 if the archive is damaged, too large or has unsafe names; I153 if a digest
            differs from the one that was promised.
    """
    digest = file_sha256(path)
    if sha256 is not None and digest != sha256:
        raise _mismatch(f"SHA-256 {digest}", f"SHA-256 {sha256}", path.name)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.name, digest)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as fault:
        raise _unsafe(f"a damaged archive ({fault})", "a zip archive", path.name) from fault


def _read(archive: zipfile.ZipFile, filename: str, digest: str) -> Wheel:
    entries = _checked_entries(archive, filename)
    reader = _Reader(archive, filename)
    folder = _dist_info(entries, filename)
    record = _record(reader.read(entries[f"{folder}/RECORD"]), f"{filename}, {folder}/RECORD")
    metadata = _text(reader.read(entries[f"{folder}/METADATA"]), f"{filename}, {folder}/METADATA")
    found: list[WheelFile] = []
    for name in sorted(name for name in entries if name.endswith(".py")):
        content = reader.read(entries[name])
        sha256 = hashlib.sha256(content).hexdigest()
        if record.get(name) != sha256:
            promised = f"SHA-256 {record[name]}" if name in record else "an entry in RECORD"
            raise _mismatch(f"SHA-256 {sha256}", promised, f"{filename}, {name}")
        found.append(WheelFile(name, content, sha256))
    name, version = (_field(metadata, key, filename) for key in ("Name", "Version"))
    return Wheel(filename, digest, name, version, metadata, tuple(found))


class _Reader:
    """Reads entries up to the limits, whatever sizes the archive states."""

    def __init__(self, archive: zipfile.ZipFile, filename: str) -> None:
        self._archive = archive
        self._filename = filename
        self._left = MAX_TOTAL_BYTES

    def read(self, entry: zipfile.ZipInfo) -> bytes:
        where = f"{self._filename}, {entry.filename}"
        limit = min(MAX_MEMBER_BYTES, self._left)
        if entry.file_size > limit:
            raise _unsafe(f"{entry.file_size} bytes", f"at most {limit} bytes", where)
        with self._archive.open(entry) as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise _unsafe("more bytes than stated", f"at most {limit} bytes", where)
        self._left -= len(content)
        return content


def _checked_entries(archive: zipfile.ZipFile, filename: str) -> dict[str, zipfile.ZipInfo]:
    """Names -> entries, after refusing what no honest wheel has."""
    listed = archive.infolist()
    if len(listed) > MAX_MEMBERS:
        raise _unsafe(f"{len(listed)} entries", f"at most {MAX_MEMBERS}", filename)
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in listed:
        # zipfile cuts a name at its first NUL; orig_filename still has it.
        name = entry.orig_filename
        parts = name.rstrip("/").split("/")
        if not name or any(part in ("", ".", "..") for part in parts) or set(name) & set("\\:\0"):
            raise _unsafe(f"an entry named {name!r}", "a relative path within the wheel", filename)
        if stat.S_ISLNK(entry.external_attr >> 16) or entry.flag_bits & 0x1:
            raise _unsafe("a link or an encrypted entry", "a plain file", f"{filename}, {name}")
        if name in entries:
            raise _unsafe(f"two entries named {name!r}", "each name once", filename)
        if not entry.is_dir():
            entries[name] = entry
    return entries


def _dist_info(entries: dict[str, zipfile.ZipInfo], filename: str) -> str:
    """The one top-level ``.dist-info`` folder that has both METADATA and RECORD."""
    stem = "-".join(filename.split("-")[:2])
    folders = {name.split("/")[0] for name in entries if name.count("/") >= 1}
    folders = {folder for folder in folders if folder.endswith(".dist-info")}
    if len(folders) != 1 or any(
        f"{folder}/{part}" not in entries for folder in folders for part in ("METADATA", "RECORD")
    ):
        observed = f"{sorted(folders)}"[:200]
        raise _unsafe(observed, f"{stem}.dist-info with METADATA and RECORD", filename)
    return folders.pop()


def _record(content: bytes, where: str) -> dict[str, str]:
    """RECORD as path -> SHA-256 in hex; entries without one (RECORD itself) are left out."""
    digests: dict[str, str] = {}
    try:
        for row in csv.reader(io.StringIO(_text(content, where))):
            if len(row) != _RECORD_COLUMNS or not row[1].startswith("sha256="):
                continue
            coded = row[1].removeprefix("sha256=")
            raw = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
            if row[0] in digests:
                raise _mismatch(f"{row[0]!r} twice", "each path once", where)
            digests[row[0]] = raw.hex()
    except (csv.Error, binascii.Error) as fault:
        raise _mismatch(f"{fault}", "rows of path, sha256=digest, size", where) from fault
    return digests


def _field(metadata: str, key: str, filename: str) -> str:
    """A header field that every METADATA has; the body after the first empty line is not read."""
    head = metadata.replace("\r\n", "\n").split("\n\n", 1)[0]
    for line in head.split("\n"):
        if line.lower().startswith(f"{key.lower()}:"):
            return line.split(":", 1)[1].strip()
    raise _unsafe(f"METADATA without {key}", "the fields Name and Version", filename)


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise _unsafe("bytes that are not UTF-8", "UTF-8 text", where) from fault


def _unsafe(observed: str, expected: str, where: str) -> InputError:
    return InputError("I152", observed=observed, expected=expected, where=where, hint=_HINT)


def _mismatch(observed: str, expected: str, where: str) -> InputError:
    return InputError("I153", observed=observed, expected=expected, where=where, hint=_HINT)


_HINT: Final = "delete the file from the cache and fetch it again"
