"""Contents of examples: found again below folders that the user names, and checked by digest.

A run holds no content. Where its metadata names a path, the file is looked for below the given
folders, or inside wheels and zip archives in them. A file counts as found only if its SHA-256 is
the recorded one, or is shown as unchecked where no digest was recorded.
"""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from gradledger.query import inert

#: Metadata columns that may hold the text itself, its path, its digest, its lines.
_TEXTS: Final = ("text", "content")
_PATHS: Final = ("path", "file")
_DIGESTS: Final = ("file_sha256", "sha256")

#: Files larger than this are not read; longer contents are cut.
_MAX_BYTES: Final = 4_000_000
MAX_CHARACTERS: Final = 40_000


@dataclass(frozen=True)
class Content:
    """Content of an example.

    Attributes:
        text: What it says; empty where it was not found.
        origin: Where it comes from, in words.
        is_checked: Whether its file has the recorded digest.
        first_line: Number of its first line in the file; 0 where that is not known.
    """

    text: str
    origin: str
    is_checked: bool = False
    first_line: int = 0


class Contents:
    """Where contents are looked for.

    Args:
        folders: Folders with files or archives; links that lead out of them are not followed.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self.folders = tuple(folder.resolve() for folder in folders)
        self._lock = threading.Lock()
        self._members: dict[str, list[Path]] | None = None
        self._latest: tuple[Any, tuple[str, str, bool] | None] = (None, None)

    def find(self, metadata: Mapping[str, Any]) -> Content:
        """Return the content of an example.

        Args:
            metadata: Its metadata by column.
        """
        for name in _TEXTS:
            if isinstance(metadata.get(name), str):
                return Content(_shown(metadata[name]), f"metadata column {name}")
        path = next((str(metadata[name]) for name in _PATHS if metadata.get(name)), "")
        if not path:
            return Content("", "the run's metadata name no path")
        if not self.folders:
            return Content("", "no folder of contents was given: gradledger serve --content FOLDER")
        digests = {str(metadata[name]) for name in _DIGESTS if metadata.get(name)}
        # Examples of one file often follow each other.
        latest, found = self._latest
        if latest != (path, digests):
            found = self._read(path, digests)
            self._latest = ((path, digests), found)
        if found is None:
            return Content("", f"no file {path} with the recorded digest in the folders given")
        content, place, is_checked = found
        first, text = _lines(content, metadata)
        return Content(_shown(text), place, is_checked, first)

    def _read(self, path: str, digests: set[str]) -> tuple[str, str, bool] | None:
        wanted = PurePosixPath(path)
        if wanted.is_absolute() or ".." in wanted.parts:
            return None
        for folder in self.folders:
            place = (folder / wanted).resolve()
            if folder in place.parents and place.is_file() and place.stat().st_size <= _MAX_BYTES:
                checked = _checked(place.read_bytes(), digests)
                if checked is not None:
                    return checked[0], str(wanted), checked[1]
        for archive in self._archives().get(wanted.as_posix(), ()):
            try:
                with zipfile.ZipFile(archive) as opened:
                    if opened.getinfo(wanted.as_posix()).file_size > _MAX_BYTES:
                        continue
                    checked = _checked(opened.read(wanted.as_posix()), digests)
            except (OSError, KeyError, zipfile.BadZipFile):
                continue
            if checked is not None:
                return checked[0], f"{archive.name}: {wanted}", checked[1]
        return None

    def _archives(self) -> dict[str, list[Path]]:
        """Return member -> archives that hold it; listed once."""
        with self._lock:
            if self._members is None:
                self._members = {}
                for folder in self.folders:
                    for archive in sorted([*folder.glob("*.whl"), *folder.glob("*.zip")]):
                        try:
                            with zipfile.ZipFile(archive) as opened:
                                for name in opened.namelist():
                                    self._members.setdefault(name, []).append(archive)
                        except (OSError, zipfile.BadZipFile):
                            continue
            return self._members


def _shown(text: str) -> str:
    """Return text in lines, tabs kept, every other control or direction character made visible."""
    lines = text[:MAX_CHARACTERS].split("\n")
    return "\n".join(
        "\t".join(inert(part, MAX_CHARACTERS) for part in line.rstrip("\r").split("\t"))
        for line in lines
    )


def _checked(content: bytes, digests: set[str]) -> tuple[str, bool] | None:
    """Return the text and whether its digest is recorded; None where another one is."""
    is_same = hashlib.sha256(content).hexdigest() in digests
    if digests and not is_same:
        return None
    return content.decode("utf-8", "replace"), is_same


def _lines(content: str, metadata: Mapping[str, Any]) -> tuple[int, str]:
    """Return the lines that the example was made from, where the metadata name them."""
    try:
        first, last = int(metadata["line_start"]), int(metadata["line_end"])
    except (KeyError, TypeError, ValueError):
        return 1, content
    return first, "\n".join(content.splitlines()[max(0, first - 1) : last])
