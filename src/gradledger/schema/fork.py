"""The record of a fork: which stored state of which run another run began with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FORK_FORMAT: Final = "gradledger.fork/1"


@dataclass(frozen=True)
class Fork:
    """Written once as ``fork.json``; proves by itself that the parent had logged the state.

    Attributes:
        format: Version of the record.
        forked_at: ISO 8601 UTC.
        parent_run_id: The parent.
        parent_origin: Name of its log.
        verifier_keys: Keys of its log, as its description lists them.
        step: Step after which the state was stored.
        state_sha256: Digest of the model in it.
        leaf: Leaf of the state in the parent's log, as text.
        receipt: Receipt of that leaf, as text; its checkpoint is the parent's at that time.
    """

    format: str
    forked_at: str
    parent_run_id: str
    parent_origin: str
    verifier_keys: tuple[str, ...]
    step: int
    state_sha256: str
    leaf: str
    receipt: str
