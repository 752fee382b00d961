"""Leaves of the log: what a sealed segment or a small record commits to.

Every leaf names its run, so that none can be moved into another one's log. Leaves hold digests and
numbers only: no content of examples, and no attribute that somebody may want erased.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LEAF_FORMAT: Final = "gradledger.leaf/1"


@dataclass(frozen=True)
class FileDigest:
    """A file of the run that a leaf commits to.

    Attributes:
        path: Below the run, with slashes.
        num_bytes: Length.
        sha256: Digest, 64 hex digits.
    """

    path: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """What all leaves have.

    Attributes:
        format: Version of the leaf's form.
        kind: Which leaf it is; a key of ``LEAF_KINDS``.
        run_id: The run, 32 hex digits.
        files: Files that the leaf commits to.
    """

    format: str = field(default=LEAF_FORMAT, init=False)
    kind: str = field(default="", init=False)
    run_id: str
    files: tuple[FileDigest, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SegmentLeaf(Leaf):
    """A sealed segment: its one file, and the rows in it.

    Attributes:
        table: Table that the rows belong to.
        num_rows: Rows.
        min_step: Smallest step; None where the table has none.
        max_step: Largest step.
        row_format: How rows become bytes.
        row_bytes: Width of a row.
        columns_sha256: Digest of the names and types of the columns.
        inner_root: Root hash over the rows, in order.
        segment_format: Version of the file's layout.
    """

    kind: str = field(default="segment", init=False)
    table: str
    num_rows: int
    min_step: int | None
    max_step: int | None
    row_format: str
    row_bytes: int
    columns_sha256: str
    inner_root: str
    segment_format: str


@dataclass(frozen=True, kw_only=True)
class RunBeginLeaf(Leaf):
    """The begin of a run; its files hold the begin record.

    Attributes:
        recorded_at: ISO 8601 UTC.
    """

    kind: str = field(default="run_begin", init=False)
    recorded_at: str


@dataclass(frozen=True, kw_only=True)
class RunEndLeaf(Leaf):
    """The end of a run; its files hold the totals.

    Attributes:
        recorded_at: ISO 8601 UTC.
        num_steps: Steps booked.
        final_sha256: Digest of the final model state.
    """

    kind: str = field(default="run_end", init=False)
    recorded_at: str
    num_steps: int
    final_sha256: str


@dataclass(frozen=True, kw_only=True)
class PolicyLeaf(Leaf):
    """A policy that is in force from here on; its file holds the text.

    Attributes:
        recorded_at: ISO 8601 UTC.
        policy_id: Identifier.
        policy_version: Version.
        policy_sha256: Digest of the canonical form.
    """

    kind: str = field(default="policy", init=False)
    recorded_at: str
    policy_id: str
    policy_version: str
    policy_sha256: str


@dataclass(frozen=True, kw_only=True)
class StateLeaf(Leaf):
    """A stored model state; its files hold it.

    Attributes:
        step: Steps done.
        state_sha256: Digest of the state.
    """

    kind: str = field(default="state", init=False)
    step: int
    state_sha256: str


@dataclass(frozen=True, kw_only=True)
class ResumeLeaf(Leaf):
    """A run that went on after a crash; its files are what was cut off and kept aside.

    Attributes:
        recorded_at: ISO 8601 UTC.
        step: Steps done at the point where it went on.
        state_sha256: Digest of the state there.
    """

    kind: str = field(default="resume", init=False)
    recorded_at: str
    step: int
    state_sha256: str


#: What an erasure says of a model state that was one of enough.
THINNED: Final = "thinned"


@dataclass(frozen=True, kw_only=True)
class ForkLeaf(Leaf):
    """A run that began with a state that another run stored; its file holds the proof.

    Attributes:
        recorded_at: ISO 8601 UTC.
        parent_run_id: The other run.
        parent_origin: Name of its log.
        parent_size: Tree size of its checkpoint at that time.
        parent_root: Root hash of that checkpoint.
        step: Step after which the state was stored there.
        state_sha256: Digest of the state, and of this run's opening state.
    """

    kind: str = field(default="fork", init=False)
    recorded_at: str
    parent_run_id: str
    parent_origin: str
    parent_size: int
    parent_root: str
    step: int
    state_sha256: str


@dataclass(frozen=True, kw_only=True)
class ErasureLeaf(Leaf):
    """Something that was erased on purpose; what rests on it can no longer be checked.

    Attributes:
        recorded_at: ISO 8601 UTC.
        what: What was erased: ``salt``, ``attribute`` or ``content``; ``thinned`` for a stored
            model state that went because there are others.
        scope: Source or field that it belonged to, never a person's name; folder of the state.
        reason: Plain words.
    """

    kind: str = field(default="erasure", init=False)
    recorded_at: str
    what: str
    scope: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CommitmentsLeaf(Leaf):
    """The sorted tree over all content commitments of a source: what absence is proved against.

    Attributes:
        source: Source whose salt made the commitments.
        num_values: Leaves of the sorted tree.
        sorted_root: Its root hash.
    """

    kind: str = field(default="commitments", init=False)
    source: str
    num_values: int
    sorted_root: str


@dataclass(frozen=True, kw_only=True)
class KeyLeaf(Leaf):
    """A key that signs the log from the next checkpoint on.

    Attributes:
        recorded_at: ISO 8601 UTC.
        verifier_key: The new key.
        replaces: The key that hands over.
    """

    kind: str = field(default="key", init=False)
    recorded_at: str
    verifier_key: str
    replaces: str


@dataclass(frozen=True, kw_only=True)
class FilesLeaf(Leaf):
    """Files of the run that no other leaf names.

    Attributes:
        recorded_at: ISO 8601 UTC.
    """

    kind: str = field(default="files", init=False)
    recorded_at: str


@dataclass(frozen=True, kw_only=True)
class DerivedLeaf(Leaf):
    """The segments behind it were computed from the run after its end; they are no record of it.

    Attributes:
        recorded_at: ISO 8601 UTC.
        what: What computed them, such as ``settling``.
    """

    kind: str = field(default="derived", init=False)
    recorded_at: str
    what: str


#: Kind -> class of the leaf.
LEAF_KINDS: Final[dict[str, type[Leaf]]] = {
    "commitments": CommitmentsLeaf,
    "derived": DerivedLeaf,
    "erasure": ErasureLeaf,
    "files": FilesLeaf,
    "fork": ForkLeaf,
    "key": KeyLeaf,
    "policy": PolicyLeaf,
    "resume": ResumeLeaf,
    "run_begin": RunBeginLeaf,
    "run_end": RunEndLeaf,
    "segment": SegmentLeaf,
    "state": StateLeaf,
}
