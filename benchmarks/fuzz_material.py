"""Good inputs of every parser, made from one small signed run: what a fuzzer begins with."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.small_signed_run import POLICY, make_small_run

import gradledger as gl
from gradledger.canon import read_leaf
from gradledger.evidence import Envelope, policy_statement, provenance
from gradledger.log import (
    CosignRequest,
    KeyKind,
    LogReader,
    QuorumPolicy,
    SigningKey,
    row_receipt,
)
from gradledger.query import open_records
from gradledger.schema import SegmentLeaf

WITNESS = SigningKey("benchmarks.test/witness", KeyKind.WITNESS, bytes(range(32)))


def make_material(folder: Path) -> None:
    """Write a run to ``folder/run`` and evidence about it to ``folder/evidence``."""
    run, key = make_small_run(folder)
    shutil.rmtree(run / "private")
    evidence = folder / "evidence"
    evidence.mkdir()
    (evidence / "verifier").write_text(str(key.named(LogReader(run).origin).verifier), "utf-8")
    (evidence / "secret").write_text(key.secret_text(), "utf-8")
    _from_log(run, evidence)
    with gl.open(run) as ledger:
        ledger.receipt(step=1, out=evidence / "step.json")
        ledger.receipt(example=1, out=evidence / "example.json")
        ledger.bundle(source="deep", out=evidence / "bundle.zip")
        ledger.absence(commitment="5a" * 32, out=evidence / "absence.json")
    records = open_records(run)
    try:
        for name, record in (
            ("provenance", provenance(records, run / "states" / "step=4")),
            ("policy", policy_statement(records)),
        ):
            envelope = Envelope.sign(record, key)
            (evidence / f"{name}.dsse").write_bytes(bytes(envelope))
    finally:
        records.close()
    (evidence / "policy.yaml").write_text(POLICY, "utf-8")


def _from_log(run: Path, evidence: Path) -> None:
    reader = LogReader(run)
    (evidence / "note").write_bytes(bytes(reader.checkpoint))
    leaves = list(reader.leaves())
    for place, leaf in enumerate(leaves):
        (evidence / f"leaf-{place:02d}").write_bytes(leaf)
    (evidence / "receipt").write_bytes(bytes(reader.receipt(3)))
    place, found = next(
        (place, leaf)
        for place, leaf in enumerate(map(read_leaf, leaves))
        if isinstance(leaf, SegmentLeaf) and leaf.table == "steps"
    )
    row = row_receipt(run, found, 0, reader.receipt(place))
    (evidence / "row").write_bytes(bytes(row))
    request = CosignRequest(3, tuple(reader.consistency_proof(3)), reader.checkpoint)
    (evidence / "request").write_bytes(bytes(request))
    quorum = f"witness w {WITNESS.verifier}\nquorum w\n".encode()
    QuorumPolicy.parse(quorum)
    (evidence / "quorum").write_bytes(quorum)
