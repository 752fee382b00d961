"""What a fork notes of its parent: the stored state, and the proof that the parent logged it."""

from __future__ import annotations

from pathlib import Path

from gradledger.errors import GradledgerError
from gradledger.log.fork import no_fork, state_leaf_of
from gradledger.log.reader import LogReader
from gradledger.log.run_leaves import BEGIN_RECORD, STATE_RECORD, file_digests, state_folder
from gradledger.schema import FORK_FORMAT, Fork
from gradledger.segment import read_json


def describe_fork(parent_dir: Path, step: int, moment: str) -> Fork:
    """Return the record of a fork from the state that a run stored after a step.

    Args:
        parent_dir: The run; only read. It may still be written.
        step: The step.
        moment: ISO 8601 UTC.

    Raises:
        LogError: It is no run with a log, the state is not in the log, or it is not the one that
            was logged (L192); or its log is damaged (L132).
        StorageError: A file cannot be read. Code S113.
    """
    where = f"{parent_dir}@{step}"
    if not (parent_dir / BEGIN_RECORD).is_file():
        raise no_fork("no run", "a recorded run", where)
    reader = LogReader(parent_dir)
    index, leaf, content = -1, None, b""
    for place, item in enumerate(reader.leaves()):
        found = state_leaf_of(item)
        if found is not None and found.step == step:
            index, leaf, content = place, found, item
    if leaf is None:
        raise no_fork("no such state under its checkpoint", "a stored state", where)
    name = f"{state_folder(step)}/{STATE_RECORD}"
    try:
        said = {file.path: file for file in leaf.files}[name]
        same = file_digests(parent_dir, [name])[0] == said
        same &= read_json(parent_dir / name)["model_digest"] == leaf.state_sha256
    except (GradledgerError, KeyError, TypeError) as error:
        raise no_fork(
            str(error).splitlines()[0][:200], "the state that was logged", where
        ) from error
    if not same:
        raise no_fork("an altered state", "the state that was logged", where)
    return Fork(
        format=FORK_FORMAT,
        forked_at=moment,
        parent_run_id=leaf.run_id,
        parent_origin=reader.origin,
        verifier_keys=tuple(str(key) for key in reader.description.keys),
        step=step,
        state_sha256=leaf.state_sha256,
        leaf=content.decode(),
        receipt=str(reader.receipt(index)),
    )
