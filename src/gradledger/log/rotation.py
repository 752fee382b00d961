"""Hand the log of a run over to another key, between two recordings or after the last."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradledger.errors import LogError
from gradledger.log.checkpoint import Checkpoint
from gradledger.log.keys import SigningKey
from gradledger.log.run_leaves import BEGIN_RECORD
from gradledger.log.writer import Log
from gradledger.segment import read_json


def rotate_log(run_dir: Path, present: SigningKey | None, successor: SigningKey) -> Checkpoint:
    """Have the key of a log sign that another takes its place, and that other sign it too.

    Whoever trusts either key can check the whole log afterwards: the leaf ties them together.

    Args:
        run_dir: The run; nobody may be writing it.
        present: The key that signs its log now.
        successor: The key that signs it from now on, under the log's own name.

    Returns:
        The checkpoint that both keys signed.

    Raises:
        LogError: The run has no log or a damaged one (L132), or a key does not fit it (L136).
        StorageError: Somebody writes the run (S111), or the disk refuses (S112, S113).
    """
    begin: Any = read_json(Path(run_dir) / BEGIN_RECORD)
    if not isinstance(begin, dict) or not isinstance(begin.get("run_id"), str):
        raise LogError(
            "L132",
            observed="no run_id",
            expected="the begin record of a run",
            where=str(Path(run_dir) / BEGIN_RECORD),
            hint="verify the run, and restore the record from a copy",
        )
    with Log.open(run_dir, present) as log:
        moment = datetime.now(UTC).isoformat()
        return log.rotate(successor, run_id=begin["run_id"], recorded_at=moment)
