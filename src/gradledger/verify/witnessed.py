"""What witnesses saw last, against the log: whoever rewrites or cuts it cannot rewrite them too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gradledger.errors import LogError
from gradledger.log import LogReader, last_witnessed
from gradledger.verify.finding import Finding


def check_witnessed(run_dir: Path, folders: Sequence[Path]) -> list[Finding]:
    """Compare the log with what witnesses remember of it.

    Args:
        run_dir: The run.
        folders: One per witness.

    Raises:
        LogError: A witness's memory cannot be read. Code L132.
        StorageError: A file cannot be read. Code S113.
    """
    findings: list[Finding] = []
    if not folders:
        return findings
    try:
        reader = LogReader(run_dir)
    except LogError:
        return findings  # a log that cannot be read has a finding of its own
    for folder in folders:
        seen = last_witnessed(folder, reader.origin)
        place = f"witness {folder.name}"
        if seen is None:
            findings.append(Finding("V907", place, "nothing", f"a checkpoint of {reader.origin}"))
        elif seen.size > reader.size:
            observed = f"{reader.size} leaves"
            findings.append(Finding("V112", place, observed, f"{seen.size}, which it saw"))
        else:
            try:
                root = reader.root(seen.size)
            except LogError:
                continue  # a tile is missing or damaged, which is found where it lies
            if root != seen.root:
                observed = f"root hash {root.hex()} at size {seen.size}"
                findings.append(Finding("V112", place, observed, f"{seen.root.hex()}, seen there"))
    return findings
