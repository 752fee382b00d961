"""Make ``log.json``: vectors for the formats of the log.

python tests/vectors/make_log_vectors.py
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from make_log_run import MOMENT, ORIGIN, RUN_ID, fixed_key

from gradledger.canon import RowLayout, encode_row, leaf_bytes
from gradledger.log import Checkpoint, CosignRequest, KeyKind, Note, Receipt
from gradledger.merkle import (
    TileId,
    absence_proof,
    consistency_proof,
    encode_bundle,
    inclusion_proof,
    leaf_hash,
    root_hash,
    tiles_of,
)
from gradledger.schema import FileDigest, KeyLeaf, StateLeaf

PATH = Path(__file__).with_name("log.json")
CLASSIC = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
CLASSIC += ["606162636465666768696a6b6c6d6e6f"]
COLUMNS = (
    ("flag", "bool"), ("short", "int16"), ("step", "int32"), ("long", "int64"), ("loss", "float32"),
    ("exact", "float64"), ("name", "string"), ("class", "label"), ("content", "digest"),
    ("moment", "timestamp"),
)  # fmt: skip


def make_vectors() -> dict[str, Any]:
    """Return all vectors as plain values."""
    leaves = [bytes.fromhex(text) for text in CLASSIC]
    hashes = [leaf_hash(leaf) for leaf in leaves]

    def read_node(height: int, place: int) -> bytes:
        return root_hash(hashes[place << height : (place + 1) << height])

    return {
        "tree": {
            "leaves": CLASSIC,
            "root_hashes": [root_hash(hashes[:size]).hex() for size in range(9)],
            "inclusion_proofs": [
                {"index": m, "size": n, "proof": _hex(inclusion_proof(m, n, read_node))}
                for n in range(1, 9)
                for m in range(n)
            ],
            "consistency_proofs": [
                {"old": m, "new": n, "proof": _hex(consistency_proof(m, n, read_node))}
                for n in range(1, 9)
                for m in range(1, n + 1)
            ],
        },
        "tiles": {
            "paths_of_70000_leaves": [tile.path for tile in tiles_of(70_000)][-7:],
            "path": {"level": 1, "number": 1234067, "path": TileId(1, 1234067).path},
            "bundle": encode_bundle(leaves).hex(),
        },
        "notes": _notes(hashes, read_node),
        "leaves": _leaves(),
        "rows": _rows(),
        "commitments": _commitments(),
    }


def _notes(hashes: list[bytes], read_node: Any) -> dict[str, Any]:
    owner = fixed_key("owner").named(ORIGIN)
    witness = fixed_key("witness", KeyKind.WITNESS)
    head = Checkpoint(ORIGIN, 8, root_hash(hashes))
    note = Note(head.text, ()).signed_by(owner)
    signed = Checkpoint(head.origin, head.size, head.root, note)
    cosigned = note.signed_by(witness, 1_700_000_000)
    proof = tuple(inclusion_proof(5, 8, read_node))
    request = CosignRequest(3, tuple(consistency_proof(3, 8, read_node)), signed)
    return {
        "seed": owner.seed.hex(),
        "verifier_key": str(owner.verifier),
        "secret_key": owner.secret_text(),
        "witness_seed": witness.seed.hex(),
        "witness_verifier_key": str(witness.verifier),
        "checkpoint": str(signed),
        "cosigned_checkpoint": str(cosigned),
        "unsigned_head": str(head),
        "receipt_of_leaf_5": str(Receipt(5, proof, signed, b"extra")),
        "unsigned_receipt_of_leaf_5": str(Receipt(5, proof, head)),
        "witness_request": bytes(request).decode(),
    }


def _leaves() -> list[str]:
    owner, successor = fixed_key("owner").named(ORIGIN), fixed_key("successor").named(ORIGIN)
    file = FileDigest("states/step=3/model.safetensors", 12, "0f" * 32)
    state = StateLeaf(run_id=RUN_ID, files=(file,), step=3, state_sha256="a0" * 32)
    key = KeyLeaf(
        run_id=RUN_ID,
        recorded_at=MOMENT,
        verifier_key=str(successor.verifier),
        replaces=str(owner.verifier),
    )
    return [leaf_bytes(leaf).decode() for leaf in (state, key)]


def _rows() -> dict[str, Any]:
    layout = RowLayout(COLUMNS)
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    full = (True, -2, 3, -(2**40), 0.1, -0.0, "é", "open", bytes(range(32)), moment)
    empty = (None,) * len(COLUMNS)
    mixed = (False, None, 0, None, math.nan, math.inf, "", None, None, None)
    names = [name for name, _ in COLUMNS]
    rows = [encode_row(layout, dict(zip(names, row, strict=True))) for row in (full, empty, mixed)]
    return {
        "columns": [list(column) for column in COLUMNS],
        "columns_sha256": layout.columns_sha256,
        "row_bytes": layout.row_bytes,
        "rows": _hex(rows),
        "inner_root": root_hash(map(leaf_hash, rows)).hex(),
    }


def _commitments() -> dict[str, Any]:
    values = [bytes([number]) * 32 for number in (1, 3, 5, 7, 9)]
    absent = bytes([4]) * 32
    proof = absence_proof(values, absent)
    sides = [side for side in (proof.before, proof.after) if side]
    return {
        "values": _hex(values),
        "sorted_root": root_hash(map(leaf_hash, values)).hex(),
        "absent": absent.hex(),
        "neighbours": [
            {"index": side.index, "value": side.value.hex(), "proof": _hex(side.proof)}
            for side in sides
        ],
    }


def _hex(items: Any) -> list[str]:
    return [item.hex() for item in items]


def vectors_text() -> str:
    """Return the file's text."""
    return json.dumps(make_vectors(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(vectors_text(), encoding="utf-8")
