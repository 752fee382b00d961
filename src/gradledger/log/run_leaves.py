"""Leaves of what lies in a run: begin record, policy, resumes, segments, model states."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gradledger.log.fork import FORK_RECORD, parse_fork
from gradledger.log.manifest import file_entry, list_files
from gradledger.log.receipt import Receipt
from gradledger.log.rows import segment_leaf
from gradledger.schema import (
    TABLES,
    FileDigest,
    ForkLeaf,
    Leaf,
    PolicyLeaf,
    ResumeLeaf,
    RunBeginLeaf,
    StateLeaf,
)
from gradledger.segment import cannot_read, orphan_folder, read_json, segment_files, segment_of

BEGIN_RECORD: Final = "run.json"
STATE_RECORD: Final = "state.json"
#: A leaf has at most 65535 bytes; the path of a file takes less than 150 of them.
_FILES_PER_LEAF: Final = 200


def missing_leaves(
    run_dir: Path, begin: Mapping[str, Any], named: Collection[str]
) -> Iterator[Leaf]:
    """Give a leaf for everything that is sealed in a run and that no leaf names.

    Args:
        run_dir: The run.
        begin: Its begin record.
        named: Paths that leaves name; may grow while the leaves are taken.

    Raises:
        StorageError: A file cannot be read. Codes S113 and S115.
    """
    run_id = str(begin["run_id"])
    if BEGIN_RECORD not in named:
        moment = str(begin["created_at"])
        files = file_digests(run_dir, [BEGIN_RECORD])
        yield RunBeginLeaf(run_id=run_id, files=files, recorded_at=moment)
        if begin["policy"]:
            yield _policy_leaf(run_dir, begin)
    if (run_dir / FORK_RECORD).is_file() and FORK_RECORD not in named:
        yield _fork_leaf(run_dir, run_id)
    yield from _resume_leaves(run_dir, run_id, named)
    for table in TABLES:
        for path in segment_files(run_dir, table):
            if path.relative_to(run_dir).as_posix() not in named:
                yield segment_leaf(run_dir, run_id, segment_of(run_dir, path))
    names = (path.name.removeprefix("step=") for path in (run_dir / "states").glob("step=*"))
    for step in sorted(int(name) for name in names if name.isdecimal()):
        if f"{state_folder(step)}/{STATE_RECORD}" not in named:
            yield state_leaf(run_dir, run_id, step)


def state_leaf(run_dir: Path, run_id: str, step: int) -> StateLeaf:
    """Return the leaf of a stored model state.

    Digests are those that were taken while its files were written; a file that changed since is
    then found by verification.

    Raises:
        StorageError: Its record cannot be read. Code S113.
    """
    name = state_folder(step)
    stored = read_json(run_dir / name / STATE_RECORD)
    files = [
        FileDigest(f"{name}/{file}", (run_dir / name / file).stat().st_size, digest)
        for file, digest in sorted(stored["files"].items())
    ]
    return StateLeaf(
        run_id=run_id,
        files=(*file_digests(run_dir, [f"{name}/{STATE_RECORD}"]), *files),
        step=step,
        state_sha256=stored["model_digest"],
    )


def state_folder(step: int) -> str:
    """Return the folder of the model state after a step, below the run."""
    return f"states/step={step}"


def file_digests(run_dir: Path, paths: Iterable[str]) -> tuple[FileDigest, ...]:
    """Digest files of a run.

    Raises:
        StorageError: One cannot be read. Code S113.
    """
    entries = (file_entry(run_dir, path) for path in paths)
    return tuple(FileDigest(item.path, item.num_bytes, item.sha256) for item in entries)


def parts_of(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut a list of files so that every part fits a leaf."""
    for start in range(0, len(paths), _FILES_PER_LEAF):
        yield paths[start : start + _FILES_PER_LEAF]


def _policy_leaf(run_dir: Path, begin: Mapping[str, Any]) -> PolicyLeaf:
    policy = begin["policy"]
    return PolicyLeaf(
        run_id=str(begin["run_id"]),
        files=file_digests(run_dir, [f"policies/{policy['digest']}.yaml"]),
        recorded_at=str(begin["created_at"]),
        policy_id=policy["id"],
        policy_version=str(policy["version"]),
        policy_sha256=policy["digest"],
    )


def _fork_leaf(run_dir: Path, run_id: str) -> ForkLeaf:
    path = run_dir / FORK_RECORD
    try:
        fork = parse_fork(path.read_bytes())
    except OSError as error:
        raise cannot_read(path, error) from error
    head = Receipt.parse(fork.receipt.encode()).checkpoint
    return ForkLeaf(
        run_id=run_id,
        files=file_digests(run_dir, [FORK_RECORD]),
        recorded_at=fork.forked_at,
        parent_run_id=fork.parent_run_id,
        parent_origin=fork.parent_origin,
        parent_size=head.size,
        parent_root=head.root.hex(),
        step=fork.step,
        state_sha256=fork.state_sha256,
    )


def _resume_leaves(run_dir: Path, run_id: str, named: Collection[str]) -> Iterator[Leaf]:
    for path in sorted((run_dir / "resumes").glob("resume-*.json")):
        name = path.relative_to(run_dir).as_posix()
        if name in named:
            continue
        record = read_json(path)
        folder = orphan_folder(run_dir, record["resume"])
        inside = folder.relative_to(run_dir).as_posix()
        aside = [f"{inside}/{item}" for item, _ in list_files(folder)] if folder.is_dir() else []
        state = read_json(run_dir / record["state"] / STATE_RECORD)
        # The record comes last: without it a resume is not in the log, and is taken up again.
        for part in parts_of([*(item for item in sorted(aside) if item not in named), name]):
            yield ResumeLeaf(
                run_id=run_id,
                files=file_digests(run_dir, part),
                recorded_at=record["resumed_at"],
                step=record["step"],
                state_sha256=state["model_digest"],
            )
