"""What a resumed run sets aside: moved as it is, never changed, never overwritten.

Each resume has a folder ``orphans/resume-NNNN`` in which files keep the path that they had in the
run. The list of moves is on the disk before the first of them, so a resume that is itself cut off
is finished by the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gradledger.segment.files import cannot_write, make_folder, sync_folder

#: Folder of a run that holds what was cut off.
ORPHANS: Final = "orphans"
_FOLDER_NAME: Final = re.compile(r"resume-(\d{4,})")


def orphan_folder(run_dir: Path, resume: int) -> Path:
    """Return the folder of what one resume set aside."""
    return Path(run_dir) / ORPHANS / f"resume-{resume:04d}"


def orphan_folders(run_dir: Path) -> dict[int, Path]:
    """Return the folder of every resume that set something aside, in order."""
    found = {
        int(match[1]): path
        for path in (Path(run_dir) / ORPHANS).glob("resume-*")
        if (match := _FOLDER_NAME.fullmatch(path.name))
    }
    return dict(sorted(found.items()))


def set_aside(run_dir: Path, resume: int, paths: Iterable[str]) -> None:
    """Move files or folders of a run to the orphans of a resume; what was moved already stays.

    Args:
        run_dir: The run.
        resume: Number of the resume.
        paths: Below the run, with slashes.

    Raises:
        StorageError: The disk refuses. Code S112; call again to go on.
    """
    touched: set[Path] = set()
    for path in paths:
        source, target = Path(run_dir) / path, orphan_folder(run_dir, resume) / path
        if target.exists() or not source.exists():
            continue
        try:
            make_folder(target.parent)
            source.rename(target)
        except OSError as error:
            raise cannot_write(target, error) from error
        touched |= {source.parent, target.parent}
    try:
        for folder in sorted(touched):
            sync_folder(folder)
    except OSError as error:
        raise cannot_write(Path(run_dir) / ORPHANS, error) from error
