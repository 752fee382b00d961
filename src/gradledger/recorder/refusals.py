"""Refusals before a run begins: of directories that are in use."""

from __future__ import annotations

from pathlib import Path

from gradledger.errors import StorageError
from gradledger.recorder.resume import is_unborn

__all__ = ["refuse_content"]


def refuse_content(run_dir: Path, *, resume: bool) -> None:
    """Refuse a directory with content; a run that died while it was opened may be begun again.

    Raises:
        StorageError: Code S101.
    """
    if not run_dir.exists() or (run_dir.is_dir() and not any(run_dir.iterdir())):
        return
    if resume and run_dir.is_dir() and is_unborn(run_dir):
        return
    raise StorageError(
        "S101",
        observed=f"{run_dir} with content",
        expected="a run that was cut off, or a directory that is empty or does not exist"
        if resume
        else "a directory that does not exist yet, or is empty",
        where="gl.record",
        hint="choose another directory; runs are never overwritten, and one that was cut off goes "
        "on with resume=True",
    )
