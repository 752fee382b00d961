"""Build the compiled passes with the machine's own C compiler, once per machine, and load them.

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
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_SOURCES: Final = ("passes.c", "passes.h")
_COMPILERS: Final = ("cc", "gcc", "clang")
#: Set to 0, nothing is compiled or loaded.
SWITCH: Final = "GRADLEDGER_COMPILE"
#: No flag that lets arithmetic be reordered beyond the sums that the source marks.
_FLAGS: Final = ("-O3", "-march=native", "-fopenmp-simd", "-std=c99", "-shared", "-fPIC")
_SECONDS: Final = 60.0


def load(folder: Path | None = None) -> ctypes.CDLL | None:
    """Return the library; None where it cannot be built here or is switched off.

    Args:
        folder: Where builds are kept; None for the user's cache folder.
    """
    if os.environ.get(SWITCH) == "0":
        return None
    compiler = next((found for name in _COMPILERS if (found := shutil.which(name))), None)
    if compiler is None or os.name != "posix":
        return None
    try:
        kept = folder or _cache_folder()
        built = kept / f"passes-{_digest(compiler)}.so"
        if not built.exists():
            _build(compiler, built)
        return ctypes.CDLL(str(built)) if _is_ours(built) and _is_ours(kept) else None
    except (OSError, RuntimeError, subprocess.SubprocessError):  # RuntimeError: no home folder.
        return None


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gradledger"


def _digest(compiler: str) -> str:
    hasher = hashlib.sha256()
    for name in _SOURCES:
        hasher.update((_HERE / name).read_bytes())
    version = subprocess.run(  # noqa: S603 - a compiler that the user's PATH names
        [compiler, "--version"], capture_output=True, timeout=_SECONDS, check=True
    ).stdout
    facts = (compiler, version.decode(errors="replace"), *_FLAGS, platform.machine(), _processor())
    hasher.update("\0".join(facts).encode())
    return hasher.hexdigest()[:32]


def _processor() -> str:
    """Return what tells apart processors with other instructions: a home may be shared."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))


def _build(compiler: str, built: Path) -> None:
    """Compile into a folder of its own, and put the result in its place whole."""
    built.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as work:
        result = Path(work) / "passes.so"
        subprocess.run(  # noqa: S603 - see above
            [compiler, *_FLAGS, "-o", str(result), str(_HERE / "passes.c")],
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
