"""Forks: the opening state against the record and its proof, and the parent if it is at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from gradledger.canon import parse_json
from gradledger.errors import GradledgerError
from gradledger.log import FORK_RECORD, LogReader, Receipt, objection_to, parse_fork
from gradledger.schema import Fork, ForkLeaf, Leaf
from gradledger.segment import read_json
from gradledger.verify.finding import Finding
from gradledger.verify.recorded import Recorded
from gradledger.verify.statements import read_bytes

#: Folders beside a run that are looked into for its parent.
_MAX_SIBLINGS: Final = 10_000


def check_fork(
    found: Recorded, leaves: Sequence[Leaf | None], parents: Sequence[Path]
) -> Iterator[Finding]:
    """Check what a run says of the run whose state it began with.

    Args:
        found: The run.
        leaves: Its leaves.
        parents: Runs that may be the parent; those beside the run are tried too.
    """
    said: Any = found.begin["settings"].get("fork")
    logged = [leaf for leaf in leaves if isinstance(leaf, ForkLeaf)]
    content = read_bytes(found.run_dir / FORK_RECORD)
    wanted = 1 if said else 0
    if len(logged) != wanted or (content is not None) != bool(said):
        record = "a record" if content is not None else "no record"
        expected = f"{wanted} leaves, as run.json says"
        yield Finding("V880", FORK_RECORD, f"{record}, {len(logged)} leaves", expected)
    if not said or content is None or not logged:
        return
    try:
        fork = parse_fork(content)
        head = Receipt.parse(fork.receipt.encode()).checkpoint
    except GradledgerError as error:
        yield Finding("V880", FORK_RECORD, error.observed, error.expected)
        return
    opening = found.begin["opening_balance"].get("state_digest")
    origin = (fork.parent_run_id, fork.parent_origin, fork.step, fork.state_sha256)
    leaf = logged[0]
    pairs = {
        "the opening state": (fork.state_sha256, opening),
        "run.json": (origin, tuple(said[n] for n in ("run_id", "origin", "step", "state_digest"))),
        "the leaf": (
            (*origin, head.size, head.root.hex()),
            (
                *(leaf.parent_run_id, leaf.parent_origin, leaf.step, leaf.state_sha256),
                *(leaf.parent_size, leaf.parent_root),
            ),
        ),
    }
    for name, (observed, expected) in pairs.items():
        if observed != expected:
            yield Finding("V880", FORK_RECORD, f"{observed}", f"{expected}, as {name} says")
    objection = objection_to(fork)
    if objection is not None:
        yield Finding("V880", FORK_RECORD, objection, "a proof that the parent logged the state")
        return
    yield from _check_parent(found.run_dir, fork, parents)


def _check_parent(run_dir: Path, fork: Fork, parents: Sequence[Path]) -> Iterator[Finding]:
    """Compare with the parent, where it is among the runs given or beside this one."""
    head = Receipt.parse(fork.receipt.encode()).checkpoint
    place = f"parent {fork.parent_run_id}"
    parent = next((path for path in parents if _run_id(path) == fork.parent_run_id), None)
    if parent is None and parents:
        expected = f"run {fork.parent_run_id}"
        yield Finding("V881", place, f"run {_run_id(parents[0])}", expected)
        return
    parent = parent or next(
        (path for path in _siblings(run_dir) if _run_id(path) == fork.parent_run_id), None
    )
    if parent is None:
        expected = "the parent, by --parent or beside the run"
        yield Finding("V920", FORK_RECORD, f"no run {fork.parent_run_id}", expected)
        return
    try:
        reader = LogReader(parent)
        root = reader.root(head.size) if head.size <= reader.size else None
        stored = read_json(parent / f"states/step={fork.step}" / "state.json")["model_digest"]
    except (GradledgerError, KeyError, TypeError) as error:
        observed = str(error).splitlines()[0][:200]
        yield Finding("V881", place, observed, "a log and a state that can be read")
        return
    if reader.origin != fork.parent_origin:
        yield Finding("V881", place, f"the log {reader.origin}", fork.parent_origin)
    if root is None:
        yield Finding("V881", place, f"{reader.size} leaves", f"{head.size}, as the fork saw")
    elif root != head.root:
        observed = f"root hash {root.hex()} at size {head.size}"
        yield Finding("V881", place, observed, f"{head.root.hex()}, as the fork saw")
    if stored != fork.state_sha256:
        yield Finding("V881", place, f"state {stored}", f"{fork.state_sha256}, as the fork saw")


def _siblings(run_dir: Path) -> list[Path]:
    folder = run_dir.resolve().parent
    found = sorted(path for path in folder.iterdir() if (path / "run.json").is_file())
    return found[:_MAX_SIBLINGS]


def _run_id(run_dir: Path) -> str | None:
    content = read_bytes(run_dir / "run.json")
    try:
        record: Any = parse_json(content or b"", "run.json")
        return str(record["run_id"])
    except (GradledgerError, KeyError, TypeError):
        return None
