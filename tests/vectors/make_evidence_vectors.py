"""Make ``evidence.json``: vectors for what is handed to somebody without the run.

python tests/vectors/make_evidence_vectors.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

# Test folders are no packages: the maker of the run is found through its folder.
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "evidence"))

from make_logged import MOMENT, Logged, make_logged

from gradledger.evidence import (
    Envelope,
    hand_absence,
    hand_bundle,
    hand_receipt,
    policy_statement,
    provenance,
    verification,
)
from gradledger.log import LogReader
from gradledger.query import open_records
from gradledger.verify import Report

PATH = Path(__file__).with_name("evidence.json")
SUBJECTS = {"visit": "3:0:2", "example": 3, "decision": 1, "step": 5, "state": 10}
ABSENT = "5a" * 32


def make_vectors() -> dict[str, Any]:
    """Return all vectors as plain values: files as they are handed over."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make_logged(folder / "run", fixed_files=True)
        unsigned = make_logged(folder / "unsigned", signed=False, fixed_files=True)
        return {
            "verifier_key": str(made.verifier),
            "receipts": _receipts(made, folder),
            "unsigned_receipt": _receipts(unsigned, folder / "other")["visit"],
            "bundle": _bundle(made, folder / "bundle"),
            "absence": _absence(made, folder / "absence.json"),
            "statements": _statements(made),
        }


def _receipts(made: Logged, folder: Path) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    found = {}
    records = open_records(made.run_dir)
    for kind, value in SUBJECTS.items():
        path = folder / f"{kind}.json"
        hand_receipt(records, {kind: value}, out=path)
        found[kind] = path.read_text(encoding="utf-8")
    path = folder / "hidden.json"
    hand_receipt(records, {"example": 3}, hide=["license"], out=path)
    found["example_with_a_text_left_out"] = path.read_text(encoding="utf-8")
    records.close()
    return found


def _bundle(made: Logged, folder: Path) -> dict[str, dict[str, str]]:
    """Files by path: texts as they are, all others in hexadecimal."""
    records = open_records(made.run_dir)
    hand_bundle(records, {"source": "pkg:b"}, out=folder)
    records.close()
    found: dict[str, dict[str, str]] = {"texts": {}, "bytes": {}}
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        name = path.relative_to(folder).as_posix()
        if "/tile/" in name:
            found["bytes"][name] = path.read_bytes().hex()
        else:
            found["texts"][name] = path.read_text(encoding="utf-8")
    return found


def _absence(made: Logged, path: Path) -> str:
    records = open_records(made.run_dir)
    hand_absence(records, commitment=ABSENT, out=path)
    records.close()
    return path.read_text(encoding="utf-8")


def _statements(made: Logged) -> dict[str, str]:
    records, head = open_records(made.run_dir), LogReader(made.run_dir).checkpoint
    report = Report((), head.origin, head.size, head.root.hex(), (str(made.verifier),))
    found = {
        "provenance": provenance(records),
        "policy": policy_statement(records),
        "verification": verification(made.run_dir, report, MOMENT, "0"),
    }
    records.close()
    return {name: bytes(Envelope.sign(item, made.key)).decode() for name, item in found.items()}


def vectors_text() -> str:
    """Return the file's text."""
    return json.dumps(make_vectors(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(vectors_text(), encoding="utf-8")
