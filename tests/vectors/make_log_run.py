"""A small run with everything that a log can hold, the same bytes every time but for Parquet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from gradledger.canon import leaf_bytes, text_digest
from gradledger.log import (
    DirectoryWitness,
    KeyKind,
    Log,
    SigningKey,
    VerifierKey,
    seal_commitments,
    segment_leaf,
)
from gradledger.schema import (
    ErasureLeaf,
    FileDigest,
    Leaf,
    PolicyLeaf,
    ResumeLeaf,
    RunBeginLeaf,
    RunEndLeaf,
    SegmentLeaf,
    StateLeaf,
)
from gradledger.segment import SegmentWriter, write_bytes_atomic, write_json

ORIGIN = "example.org/runs/1"
RUN_ID = "0123456789abcdef0123456789abcdef"
MOMENT = "2026-01-02T03:04:05Z"


def fixed_key(word: str, kind: KeyKind = KeyKind.LOG) -> SigningKey:
    """A key whose seed is the digest of a word: for tests only."""
    return SigningKey(f"example.org/{word}", kind, hashlib.sha256(word.encode()).digest())


@dataclass(frozen=True)
class MadeRun:
    run_dir: Path
    owner: VerifierKey
    successor: VerifierKey
    witness: VerifierKey
    segments: tuple[SegmentLeaf, ...]
    commitments: tuple[bytes, ...]


def visit_columns(start: int, num_rows: int) -> dict[str, Any]:
    """Rows with nulls, NaN, negative zero and digests."""
    place = np.arange(start, start + num_rows)
    losses: list[float | None] = [None if n % 3 == 0 else n / 7 for n in place.tolist()]
    alignment = np.linspace(-1, 1, num_rows, dtype=np.float32)
    alignment[:2] = [np.nan, -0.0]
    return {
        "step": (place // 4).astype(np.int32),
        "micro_batch": np.zeros(num_rows, np.int16),
        "position": (place % 4).astype(np.int16),
        "example": place.astype(np.int32),
        "decision": np.zeros(num_rows, np.int32),
        "loss": losses,
        "tokens": np.full(num_rows, 64, np.int32),
        "digest": [text_digest(str(n)) if n % 5 else None for n in place.tolist()],
        "align_0": alignment,
        "gnorm_0": np.ones(num_rows, np.float32),
    }


def make_log_run(
    run_dir: Path, folder: Path, *, signed: bool = True, num_states: int = 5
) -> MadeRun:
    """Write a run with a log: two segments, small records, a rotated key, a witness.

    Args:
        run_dir: Where; made.
        folder: Where the witness remembers.
        signed: Whether the log is signed (and rotated and cosigned).
        num_states: Small records to fill the log with.
    """
    run_dir.mkdir(parents=True)
    owner, successor = fixed_key("owner"), fixed_key("successor")
    witness = fixed_key("witness", KeyKind.WITNESS)
    digest = write_json(run_dir / "run.json", {"run_id": RUN_ID})
    begin = FileDigest("run.json", (run_dir / "run.json").stat().st_size, digest)
    text = b"rules: none\n"
    digest = write_bytes_atomic(run_dir / "policies/p.yaml", text)
    policy = FileDigest("policies/p.yaml", len(text), digest)
    with Log.create(run_dir, ORIGIN, owner if signed else None) as log:

        def take(leaf: Leaf) -> None:
            log.append(leaf_bytes(leaf))

        zero = "0" * 64
        take(RunBeginLeaf(run_id=RUN_ID, recorded_at=MOMENT, files=(begin,)))
        take(
            PolicyLeaf(
                run_id=RUN_ID,
                recorded_at=MOMENT,
                policy_id="demo",
                policy_version="1",
                policy_sha256=zero,
                files=(policy,),
            )
        )
        log.publish()
        segments = [_segment(run_dir, number) for number in range(2)]
        take(segments[0])
        for step in range(num_states):
            take(StateLeaf(run_id=RUN_ID, step=step, state_sha256=zero))
        log.publish()
        take(segments[1])
        log.publish()
        if signed:
            log.rotate(successor, run_id=RUN_ID, recorded_at=MOMENT)
        values = tuple(hashlib.sha256(b"%d" % n).digest() for n in range(9))
        take(seal_commitments(run_dir, RUN_ID, "source:a", 0, values))
        take(ResumeLeaf(run_id=RUN_ID, recorded_at=MOMENT, step=3, state_sha256=zero))
        take(
            ErasureLeaf(
                run_id=RUN_ID,
                recorded_at=MOMENT,
                what="salt",
                scope="source:a",
                reason="withdrawn",
            )
        )
        take(RunEndLeaf(run_id=RUN_ID, recorded_at=MOMENT, num_steps=5, final_sha256=zero))
        log.publish()
        if signed:
            keys = [owner.named(ORIGIN).verifier, successor.named(ORIGIN).verifier]
            log.cosign(DirectoryWitness(folder, _FixedTime.of(witness), keys))
    return MadeRun(
        run_dir,
        owner.named(ORIGIN).verifier,
        successor.named(ORIGIN).verifier,
        witness.verifier,
        tuple(segments),
        values,
    )


class _FixedTime(SigningKey):
    """A witness's key that always signs the same moment."""

    @staticmethod
    def of(key: SigningKey) -> SigningKey:
        return _FixedTime(key.name, key.kind, key.seed)

    def sign(self, text: bytes, moment: int | None = None) -> bytes:
        del moment
        return super().sign(text, int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()))


def _segment(run_dir: Path, number: int) -> SegmentLeaf:
    extra = {"align_0": "float32", "gnorm_0": "float32"}
    writer = SegmentWriter(run_dir, "visits", extra)
    writer.append(visit_columns(10 * number, 10 + number))
    sealed = writer.seal()
    if sealed is None:
        message = "no rows"
        raise ValueError(message)
    return segment_leaf(run_dir, RUN_ID, sealed)
