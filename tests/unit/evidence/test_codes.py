"""Every finding of evidence, by a change that causes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from make_logged import Logged

from gradledger.evidence import (
    Envelope,
    check_evidence,
    hand_absence,
    hand_bundle,
    hand_receipt,
    provenance,
)
from gradledger.evidence.bundle import INDEX_NAME, BundleIndex
from gradledger.evidence.container import read_container
from gradledger.log import SigningKey
from gradledger.query import Records
from gradledger.verify.catalogue import FINDINGS

NO_HASH = "0" * 64


def lines(text: str, place: int, line: str) -> str:
    parts = text.split("\n")
    parts[place] = line
    return "\n".join(parts)


def other_checkpoint(record: dict[str, Any]) -> None:
    head = record["leaves"][1]["receipt"].replace("\n36\n", "\n37\n")
    record["leaves"][1]["receipt"] = head


#: What happens to a receipt of example 3, and the code that says so.
RECEIPTS: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "another format": ("V851", lambda r: r.update(format="gradledger.receipt/2")),
    "rows turned round": ("V851", lambda r: r["rows"].reverse()),
    "leaves turned round": ("V851", lambda r: r["leaves"].reverse()),
    "another checkpoint": ("V851", other_checkpoint),
    "segment without rows": ("V851", lambda r: r["rows"].pop()),
    "leaf moved": (
        "V852",
        lambda r: r["leaves"][0].update(receipt=lines(r["leaves"][0]["receipt"], 1, "index 0")),
    ),
    "another key": (
        "V853",
        lambda r: r.update(
            verifier_keys=[str(SigningKey.generate("example.org/runs/handover").verifier)]
        ),
    ),
    "another subject": ("V854", lambda r: r["subject"].update(examples=[4])),
    "a kind that is a list": ("V854", lambda r: r["subject"].update(kind=[])),
    "row changed": (
        "V855",
        lambda r: r["rows"][0].update(row="00" * (len(r["rows"][0]["row"]) // 2)),
    ),
    "text changed": ("V856", lambda r: r["rows"][0]["texts"].update(verdict="deny")),
    "another run": ("V202", lambda r: r.update(run_id="f" * 32)),
}


@pytest.mark.parametrize("what", RECEIPTS)
def test_receipts(logged: Logged, logged_records: Records, tmp_path: Path, what: str) -> None:
    code, change = RECEIPTS[what]
    path = tmp_path / "receipt.json"
    hand_receipt(logged_records, {"example": 3}, out=path)
    record = json.loads(path.read_bytes())
    # The segment that lies last has one row more to give than the change takes.
    if what == "segment without rows":
        last = record["rows"][-1]["leaf"]
        record["rows"] = [row for row in record["rows"] if row["leaf"] != last] + [
            next(row for row in record["rows"] if row["leaf"] == last)
        ]
    change(record)
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    found = check_evidence(path, [logged.verifier])
    assert code in {item.code for item in found.findings}
    assert not found.is_sound


def test_bundles(logged: Logged, logged_records: Records, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    hand_bundle(logged_records, {"source": "pkg:b"}, out=folder)
    assert codes(folder, logged) == set()
    text = folder / "README.md"
    text.write_text(text.read_text().replace(" rows", " columns"))
    assert codes(folder, logged) == {"V857", "V911"}
    files = read_container(folder)
    (folder / INDEX_NAME).write_bytes(bytes(BundleIndex.of(files)))
    assert codes(folder, logged) == {"V911"}
    assert check_evidence(folder, [logged.verifier]).is_sound
    text.unlink()
    tile = next(path for path in (folder / "log/tile").rglob("*") if path.is_file())
    tile.write_bytes(bytes(len(tile.read_bytes())))
    assert codes(folder, logged) == {"V857", "V858"}
    (folder / "receipt.json").unlink()
    assert "V851" in codes(folder, logged)
    shutil.rmtree(folder)


def test_absence(logged: Logged, logged_records: Records, tmp_path: Path) -> None:
    path = tmp_path / "absence.json"
    hand_absence(logged_records, commitment="5a" * 32, out=path)
    record = json.loads(path.read_bytes())
    record["proofs"] = record["proofs"][:1]
    record["proofs"][0].update(before=None, after=None)
    record["unprovable"] = {"pkg:z": "its salt is destroyed"}
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    assert codes(path, logged) == {"V859", "V908"}


def test_statements(logged: Logged, logged_records: Records, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(bytes(Envelope.sign(provenance(logged_records), logged.key)))
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_bytes(b"others")
    found = check_evidence(path, [], model=tmp_path / "model")
    assert {item.code for item in found.findings} == {"V860", "V861"}


def test_every_code_of_evidence_is_here() -> None:
    here = {code for code, _ in RECEIPTS.values()} | {"V857", "V858", "V859", "V860", "V861"}
    assert {code for code in FINDINGS if code.startswith(("V85", "V86"))} == here - {"V202"}


def codes(path: Path, logged: Logged) -> set[str]:
    return {item.code for item in check_evidence(path, [logged.verifier]).findings}
