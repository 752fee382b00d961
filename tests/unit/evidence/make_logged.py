"""A recorded run with a log: the synthetic run of the query tests, and leaves for all its files."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Test folders are no packages: the writer of the run is found through its folder.
sys.path.insert(0, str(Path(__file__).parents[1] / "query"))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from make_preamble import DIGEST, EXAMPLES
from make_run import make_run

from gradledger.canon import keyed_commitment, leaf_bytes
from gradledger.log import Log, SigningKey, VerifierKey, seal_commitments, segment_leaf
from gradledger.query.content import item_digest
from gradledger.schema import (
    TABLES,
    FileDigest,
    PolicyLeaf,
    RunBeginLeaf,
    RunEndLeaf,
    StateLeaf,
)
from gradledger.segment import ARROW_TYPES, SealedSegment, segment_files

ORIGIN = "example.org/runs/handover"
MOMENT = "2026-01-02T03:04:05Z"
SALTS = {name: hashlib.sha256(name.encode()).digest() for name in "abcdef"}


@dataclass(frozen=True)
class Logged:
    run_dir: Path
    key: SigningKey
    verifier: VerifierKey
    item: dict[str, np.ndarray]


def item_of(example: int) -> dict[str, np.ndarray]:
    return {"tokens": np.arange(example, example + 8, dtype=np.int64)}


def make_logged(
    run_dir: Path,
    *,
    word: str = "owner",
    origin: str = ORIGIN,
    signed: bool = True,
    metadata: dict[str, list[Any]] | None = None,
    num_states: int = 3,
    fixed_files: bool = False,
) -> Logged:
    """Write a run, its salts and its log.

    Args:
        run_dir: Where.
        word: What the key is made from.
        origin: Of the log.
        signed: Whether it is signed.
        metadata: Of the examples.
        num_states: Small records to fill the log with.
        fixed_files: Let leaves of segments name digests that do not depend on how Parquet is
            written; evidence does not read them, and is then the same bytes everywhere.
    """
    make_run(run_dir, metadata=metadata)
    key = SigningKey(origin, SigningKey.generate("x").kind, hashlib.sha256(word.encode()).digest())
    salts = {f"pkg:{name}": salt.hex() for name, salt in SALTS.items()}
    _commit(run_dir, salts)
    (run_dir / "private").mkdir()
    (run_dir / "private/salts.json").write_text(json.dumps({**salts, "\0ids": "00" * 32}))
    (run_dir / "private/salts.json").chmod(0o600)
    (run_dir / "policies").mkdir()
    (run_dir / f"policies/{DIGEST}.yaml").write_text("policy: house\nversion: 1.0.0\n")
    for step in range(0, 20, 10):
        folder = run_dir / f"states/step={step}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights %d" % step)
        (folder / "state.json").write_text("{}")
    run_id = json.loads((run_dir / "run.json").read_text())["run_id"]
    with Log.create(run_dir, origin, key if signed else None) as log:
        for leaf in _leaves(run_dir, run_id, num_states, fixed_files=fixed_files):
            log.append(leaf_bytes(leaf))
        log.publish()
    return Logged(run_dir, key, key.verifier, item_of(3))


def _commit(run_dir: Path, salts: dict[str, str]) -> None:
    """Write commitments into the examples, as the recorder does."""
    for path in segment_files(run_dir, "decisions/examples"):
        table = pq.read_table(path)
        numbers = table["example"].to_pylist()
        content = [
            keyed_commitment(bytes.fromhex(salts[EXAMPLES[n][0]]), item_digest(item_of(n)))
            for n in numbers
        ]
        place = table.column_names.index("content")
        pq.write_table(table.set_column(place, "content", pa.array(content)), path)


def _typed(path: Path, table: str) -> pa.Table:
    """Give columns that are null throughout the type that the table has for them."""
    rows = pq.read_table(path)
    for place, field in enumerate(rows.schema):
        if field.type == pa.null():
            kind = ARROW_TYPES[TABLES[table].get(field.name, "string")]
            rows = rows.set_column(place, field.name, rows[field.name].cast(kind))
    pq.write_table(rows, path)
    return rows


def _digest(run_dir: Path, path: Path) -> FileDigest:
    content = path.read_bytes()
    name = path.relative_to(run_dir).as_posix()
    return FileDigest(name, len(content), hashlib.sha256(content).hexdigest())


def _leaves(run_dir: Path, run_id: str, num_states: int, *, fixed_files: bool) -> Any:
    zero = "0" * 64
    yield RunBeginLeaf(
        run_id=run_id, recorded_at=MOMENT, files=(_digest(run_dir, run_dir / "run.json"),)
    )
    yield PolicyLeaf(
        run_id=run_id, recorded_at=MOMENT, policy_id="house", policy_version="1.0.0",
        policy_sha256=DIGEST, files=(_digest(run_dir, run_dir / f"policies/{DIGEST}.yaml"),),
    )  # fmt: skip
    for table in TABLES:
        for path in segment_files(run_dir, table):
            rows = _typed(path, table)
            file = _digest(run_dir, path)
            if fixed_files:
                name = hashlib.sha256(file.path.encode()).hexdigest()
                file = FileDigest(file.path, 1000, name)
            steps = rows["step"].to_pylist() if "step" in rows.column_names else []
            sealed = SealedSegment(
                file.path, rows.num_rows, min(steps, default=None), max(steps, default=None),
                file.sha256, file.num_bytes,
            )  # fmt: skip
            yield segment_leaf(run_dir, run_id, sealed)
    for step in range(0, 20, 10):
        folder = run_dir / f"states/step={step}"
        files = tuple(_digest(run_dir, path) for path in sorted(folder.iterdir()))
        yield StateLeaf(run_id=run_id, step=step, state_sha256=zero, files=files)
    for step in range(1000, 1000 + num_states):
        yield StateLeaf(run_id=run_id, step=step, state_sha256=zero)
    sources = sorted({row[0] for row in EXAMPLES})
    for number, source in enumerate(sources):
        values = [
            bytes.fromhex(keyed_commitment(SALTS[source[-1]], item_digest(item_of(n))))
            for n, row in enumerate(EXAMPLES)
            if row[0] == source
        ]
        yield seal_commitments(run_dir, run_id, source, number, values)
    yield RunEndLeaf(
        run_id=run_id, recorded_at=MOMENT, num_steps=20, final_sha256=zero,
        files=(_digest(run_dir, run_dir / "end.json"),),
    )  # fmt: skip
