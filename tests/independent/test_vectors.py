"""The second verifier against the stored vectors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

# Test folders are no packages: the verifier is found through its folder.
sys.path.insert(0, str(Path(__file__).parent))

from primitives import BadError, canonical, head_of, included, key_of, root, sha, signed_by
from verify_log import read_leaf, tile_name, unbundle, verify_receipt

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "log.json").read_text(encoding="utf-8")
)
NOTES, TREE, ROWS = VECTORS["notes"], VECTORS["tree"], VECTORS["rows"]
LEAVES = [bytes.fromhex(text) for text in TREE["leaves"]]
HASHES = [sha(b"\x00" + leaf) for leaf in LEAVES]


def test_tree() -> None:
    assert [root(HASHES[:size]).hex() for size in range(9)] == TREE["root_hashes"]
    assert TREE["root_hashes"][8].startswith("5dc9da79")
    for item in TREE["inclusion_proofs"]:
        proof = [bytes.fromhex(text) for text in item["proof"]]
        top = root(HASHES[: item["size"]])
        assert included(HASHES[item["index"]], item["index"], item["size"], proof, top)
        assert not included(sha(b"other"), item["index"], item["size"], proof, top)


def test_tiles() -> None:
    path = VECTORS["tiles"]["path"]
    assert tile_name(str(path["level"]), path["number"], 256) == path["path"]
    assert unbundle(bytes.fromhex(VECTORS["tiles"]["bundle"]), 8) == LEAVES


def test_notes() -> None:
    content = NOTES["checkpoint"].encode()
    assert head_of(content, signed=True)[1:] == (8, root(HASHES))
    assert head_of(NOTES["unsigned_head"].encode(), signed=False) == head_of(content, signed=True)
    assert signed_by(content, NOTES["verifier_key"])
    assert signed_by(NOTES["cosigned_checkpoint"].encode(), NOTES["verifier_key"])
    assert key_of(NOTES["witness_verifier_key"])[2] == 4
    with pytest.raises(BadError):
        signed_by(content.replace(b"\n8\n", b"\n9\n"), NOTES["verifier_key"])


def test_receipts() -> None:
    verify_receipt(NOTES["receipt_of_leaf_5"].encode(), LEAVES[5], NOTES["verifier_key"])
    verify_receipt(NOTES["unsigned_receipt_of_leaf_5"].encode(), LEAVES[5], "")
    for leaf, key in ((LEAVES[4], NOTES["verifier_key"]), (LEAVES[5], "x+00000000+AA==")):
        with pytest.raises(BadError):
            verify_receipt(NOTES["receipt_of_leaf_5"].encode(), leaf, key)


def test_leaves_and_rows() -> None:
    assert [read_leaf(text.encode())["kind"] for text in VECTORS["leaves"]] == ["state", "key"]
    digest = sha(b"gradledger\x00row/1\x00" + canonical(ROWS["columns"])).hex()
    assert digest == ROWS["columns_sha256"]
    rows = [bytes.fromhex(text) for text in ROWS["rows"]]
    assert {len(row) for row in rows} == {ROWS["row_bytes"]}
    assert root([sha(b"\x00" + row) for row in rows]).hex() == ROWS["inner_root"]
