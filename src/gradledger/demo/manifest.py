"""The manifest of the demo: which wheels, at which version, with which digest.

The manifest is committed, the code of others is not: a wheel is downloaded once, by hash, and read
as data. Nothing in this file says what a wheel's licence is; that is read from the wheel itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from gradledger.errors import InputError

__all__ = ["FORMAT", "WheelPin", "default_cache", "file_sha256", "read_manifest"]

FORMAT: Final = "gradledger.demo-manifest/1"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_WHEEL = re.compile(r"[A-Za-z0-9._]+-[A-Za-z0-9._+!]+(?:-[A-Za-z0-9._]+){3}\.whl")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class WheelPin:
    """One wheel of the manifest.

    Attributes:
        name: Name of the distribution.
        version: Its version.
        filename: Name of the wheel file.
        sha256: SHA-256 of the wheel file, hex.
        num_bytes: Length of the wheel file.
        note: Why this wheel is in the corpus.
    """

    name: str
    version: str
    filename: str
    sha256: str
    num_bytes: int
    note: str = ""


def default_cache(root: Path | None = None) -> Path:
    """Return the folder that holds the downloaded wheels: ``.cache/wheels`` under ``root``.

    Args:
        root: Folder to start from; by default the current one.
    """
    return (root if root is not None else Path.cwd()) / ".cache" / "wheels"


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hex, without holding it in memory."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_manifest(path: Path | None = None) -> tuple[WheelPin, ...]:
    """Read and check a manifest.

    Args:
        path: Manifest file; by default the one that comes with the package.

    Returns:
        The wheels in the order of the manifest.

    Raises:
        InputError: I151 if an entry is malformed, unknown in format or named twice.
    """
    where = str(path) if path is not None else "manifest.json"
    if path is None:
        text = files("gradledger.demo").joinpath("manifest.json").read_text(encoding="utf-8")
    else:
        text = path.read_text(encoding="utf-8")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as fault:
        raise _malformed(f"{fault}", "a JSON document", where) from fault
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _malformed("another document", f"format {FORMAT!r}", where)
    entries = document.get("wheels")
    if not isinstance(entries, list) or not entries:
        raise _malformed("no wheels", "a list of at least one wheel", where)
    pins = tuple(_pin(entry, f"{where}, wheel {at}") for at, entry in enumerate(entries))
    for field in ("name", "filename"):
        values = [getattr(pin, field).lower() for pin in pins]
        if len(set(values)) != len(values):
            twice = next(value for value in values if values.count(value) > 1)
            raise _malformed(f"{field} {twice!r} twice", "each wheel once", where)
    return pins


def _pin(entry: Any, where: str) -> WheelPin:
    """Turn one entry into a pin; every field is checked, since pip and the disk will see it."""
    if not isinstance(entry, dict):
        raise _malformed(type(entry).__name__, "an object", where)
    for field, form in (("name", _NAME), ("filename", _WHEEL), ("sha256", _DIGEST)):
        value = entry.get(field)
        if not isinstance(value, str) or not form.fullmatch(value):
            raise _malformed(f"{field} = {value!r}", f"text like {form.pattern}", where)
    version, num_bytes = entry.get("version"), entry.get("bytes")
    if not isinstance(version, str) or entry["filename"].split("-")[1] != version:
        raise _malformed(f"version = {version!r}", "the version in the file name", where)
    if not isinstance(num_bytes, int) or isinstance(num_bytes, bool) or num_bytes <= 0:
        raise _malformed(f"bytes = {num_bytes!r}", "a positive whole number", where)
    return WheelPin(
        name=entry["name"],
        version=version,
        filename=entry["filename"],
        sha256=entry["sha256"],
        num_bytes=num_bytes,
        note=str(entry.get("note", "")),
    )


def _malformed(observed: str, expected: str, where: str) -> InputError:
    return InputError(
        "I151",
        observed=observed,
        expected=expected,
        where=where,
        hint="restore manifest.json from the release",
    )
