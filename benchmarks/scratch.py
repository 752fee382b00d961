"""Where throw-away runs lie: in memory where there is such a folder; kill -9 spares caches."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made below it


def scratch() -> TemporaryDirectory[str]:
    """Return a temporary folder, in memory if the machine has room there."""
    return TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None)
