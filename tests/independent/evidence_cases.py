"""Evidence of a made run, and the verdicts of both verifiers on it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# Test folders are no packages: verifier and maker are found through their folders.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "evidence"))

from make_logged import Logged
from primitives import BadError
from verify_evidence import verify

from gradledger.evidence import (
    Envelope,
    check_evidence,
    hand_absence,
    hand_bundle,
    hand_receipt,
    provenance,
)
from gradledger.log import VerifierKey
from gradledger.query import open_records


def make_evidence(made: Logged, folder: Path) -> dict[str, Path]:
    folder.mkdir()
    records = open_records(made.run_dir)
    asked = {
        "visit": "3:0:2", "example": 3, "decision": 1, "step": 5, "state": 10,
    }  # fmt: skip
    found = {name: folder / f"{name}.json" for name in asked}
    for name, value in asked.items():
        hand_receipt(records, {name: value}, out=found[name])
    found["bundle"], found["zip"] = folder / "bundle", folder / "bundle.zip"
    for name in ("bundle", "zip"):
        hand_bundle(records, {"source": "pkg:b"}, out=found[name])
    found["absence"] = folder / "absence.json"
    hand_absence(records, commitment="5a" * 32, out=found["absence"])
    found["statement"] = folder / "provenance.intoto.jsonl"
    found["statement"].write_bytes(bytes(Envelope.sign(provenance(records), made.key)))
    records.close()
    return found


def judge(path: Path, trusted: VerifierKey | None) -> tuple[bool, bool]:
    """Whether each of the verifiers accepts; ours must have a code for what it refuses."""
    found = check_evidence(path, [trusted] if trusted else [])
    assert found.is_sound or all(item.code and item.observed for item in found.findings)
    try:
        verify(path, str(trusted) if trusted else "")
    except BadError:
        return found.is_sound, False
    return found.is_sound, True


def rewritten(path: Path, tmp_path: Path, change: Any) -> Path:
    record = json.loads(path.read_bytes())
    change(record)
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    changed = tmp_path / "swapped.json"
    changed.write_text(text, encoding="utf-8")
    return changed
