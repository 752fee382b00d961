"""Forks: a run that begins with a stored state of another, and the proof that the other logged it.

The record carries the leaf of the state and its receipt, so that it can be checked where the parent
is not at hand: what its log said, under which checkpoint, signed by whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from gradledger.canon import canonical_json, parse_json, read_leaf
from gradledger.errors import InputError, LogError
from gradledger.log.keys import VerifierKey
from gradledger.log.receipt import Receipt
from gradledger.schema import FORK_FORMAT, Fork, StateLeaf
from gradledger.segment import write_bytes_atomic

FORK_RECORD: Final = "fork.json"


def write_fork(run_dir: Path, fork: Fork) -> None:
    """Write the record of a fork; the log takes it up when it is opened.

    Raises:
        StorageError: The disk refuses. Code S112.
    """
    write_bytes_atomic(run_dir / FORK_RECORD, canonical_json(asdict(fork)) + b"\n")


def parse_fork(content: bytes) -> Fork:
    """Read the record of a fork.

    Raises:
        LogError: It is not what this version writes. Code L192.
    """
    try:
        record: Mapping[str, Any] = parse_json(content, FORK_RECORD)
        fork = Fork(**{**record, "verifier_keys": tuple(record["verifier_keys"])})
        texts = [
            value for name, value in asdict(fork).items() if name not in {"step", "verifier_keys"}
        ]
        sound = all(type(value) is str for value in (*texts, *fork.verifier_keys))
        sound &= type(fork.step) is int and fork.step >= 0 and fork.format == FORK_FORMAT
        sound = sound and canonical_json(asdict(fork)) + b"\n" == content
    except (InputError, TypeError, KeyError) as error:
        raise no_fork(str(error).splitlines()[0][:200], FORK_FORMAT, FORK_RECORD) from error
    if not sound:
        raise no_fork("another form or spelling", FORK_FORMAT, FORK_RECORD)
    return fork


def objection_to(fork: Fork) -> str | None:
    """Return why a record does not prove that its parent had logged the state; None where it does.

    Whether the keys are those of the parent's owner is for somebody to say who knows them.
    """
    leaf = state_leaf_of(fork.leaf.encode())
    try:
        receipt = Receipt.parse(fork.receipt.encode())
        flaw = receipt.check_inclusion(fork.leaf.encode())
        head = receipt.checkpoint
        keys = [VerifierKey.parse(text) for text in fork.verifier_keys]
        signed = bool(head.note and keys[-1:] and head.note.verify(keys[-1:]))
    except LogError as error:
        return f"{error.code}: {error.observed}"
    said = (fork.parent_run_id, fork.step, fork.state_sha256)
    if leaf is None or (leaf.run_id, leaf.step, leaf.state_sha256) != said:
        return "a leaf of something else than the state"
    if flaw is not None:
        return f"a receipt that does not hold: {flaw}"
    if head.origin != fork.parent_origin:
        return f"a checkpoint of {head.origin}"
    if head.signed != bool(keys) or (keys and not signed):
        return "a checkpoint that the last of its keys did not sign"
    return None


def state_leaf_of(content: bytes) -> StateLeaf | None:
    """Return the leaf of a model state; None for leaves of other kinds."""
    try:
        leaf = read_leaf(content)
    except InputError:
        return None
    return leaf if isinstance(leaf, StateLeaf) else None


def no_fork(observed: str, expected: str, where: str) -> LogError:
    """Return the error for a fork that cannot be made or read."""
    return LogError(
        "L192",
        observed=observed,
        expected=expected,
        where=where,
        hint="gradledger states RUN lists the states of a run; verify says whether they hold",
    )
