"""Build C of this room with the machine's own compiler, once per machine, and load it.

What was built lies in the user's cache folder under the digest of everything that made it: source,
compiler, flags and processor. A file that others may write to is not loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_COMPILERS: Final = ("cc", "gcc", "clang")
#: Set to 0, nothing is compiled or loaded.
SWITCH: Final = "GRADLEDGER_COMPILE"
_FLAGS: Final = ("-O3", "-std=c99", "-shared", "-fPIC")
_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Library:
    """What is compiled together.

    Attributes:
        name: Name of the result.
        sources: Files of this folder; the first is compiled, and includes the others.
        flags: Given to the compiler beside those that every library has.
    """

    name: str
    sources: tuple[str, ...]
    flags: tuple[str, ...]


def load(library: Library, folder: Path | None = None) -> ctypes.CDLL | None:
    """Return a library; None where it cannot be built here or is switched off.

    Args:
        library: The library.
        folder: Where builds are kept; None for the user's cache folder.
    """
    if os.environ.get(SWITCH) == "0":
        return None
    compiler = next((found for name in _COMPILERS if (found := shutil.which(name))), None)
    if compiler is None or os.name != "posix":
        return None
    try:
        kept = folder or _cache_folder()
        built = kept / f"{library.name}-{_digest(compiler, library)}.so"
        if not built.exists():
            _build(compiler, library, built)
        return ctypes.CDLL(str(built)) if _is_ours(built) and _is_ours(kept) else None
    except (OSError, RuntimeError, subprocess.SubprocessError):  # RuntimeError: no home folder.
        return None


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gradledger"


def _digest(compiler: str, library: Library) -> str:
    hasher = hashlib.sha256()
    for name in library.sources:
        hasher.update((_HERE / name).read_bytes())
    version = subprocess.run(  # noqa: S603 - a compiler that the user's PATH names
        [compiler, "--version"], capture_output=True, timeout=_SECONDS, check=True
    ).stdout
    flags = (*_FLAGS, *library.flags)
    facts = (compiler, version.decode(errors="replace"), *flags, platform.machine(), _processor())
    hasher.update("\0".join(facts).encode())
    return hasher.hexdigest()[:32]


def _processor() -> str:
    """Return what tells apart processors with other instructions: a home may be shared."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))


def _build(compiler: str, library: Library, built: Path) -> None:
    """Compile into a folder of its own, and put the result in its place whole."""
    built.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as work:
        result = Path(work) / built.name
        subprocess.run(  # noqa: S603 - see above
            [compiler, *_FLAGS, *library.flags, "-o", str(result), str(_HERE / library.sources[0])],
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
        result.chmod(0o500)
        result.replace(built)


def _is_ours(path: Path) -> bool:
    """Whether nobody but this user may have written a file or folder."""
    found = path.stat()
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
