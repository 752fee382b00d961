"""A second verifier of receipts, bundles, proofs of absence and statements.

Written from docs/reference/formats.md; it shares no code with the package: standard library and
``cryptography`` only.

    python verify_evidence.py FILE_OR_FOLDER [VERIFIER_KEY]
"""

from __future__ import annotations

import base64
import json
import re
import struct
import sys
from pathlib import Path

from primitives import BadError, included, key_of, need, sha
from verify_bundle import files_of, verify_bundle
from verify_log import read_leaf, verify_receipt
from verify_rows import check_signers, digest, load, verify_rows


def verify_absence(content: bytes, trusted: str) -> None:
    found = load(content, "gradledger.absence/1", "proofs run_id unprovable verifier_keys")
    need(all(isinstance(why, str) for why in found["unprovable"].values()), "unprovable")
    need(isinstance(found["proofs"], list) and found["proofs"], "no proof")
    keys, heads = [], set()
    for item in found["proofs"]:
        need(item.keys() == {"after", "before", "leaf", "receipt", "value"}, "proof: members")
        leaf = read_leaf(item["leaf"].encode())
        verify_receipt(item["receipt"].encode(), item["leaf"].encode(), "")
        need(leaf["kind"] == "commitments" and leaf["run_id"] == found["run_id"], "leaf")
        need(leaf["source"] not in found["unprovable"], "source")
        index = int(re.search(r"^index (\d+)$", item["receipt"], re.MULTILINE)[1])
        keys.append((index, digest(item["value"])))
        heads.add(item["receipt"].partition("\n\n")[2])
        check_neighbours(item, leaf["num_values"], bytes.fromhex(leaf["sorted_root"]))
    need(keys == sorted(set(keys)) and len(heads) == 1, "proofs")
    check_signers(heads.pop().encode(), found["verifier_keys"], trusted)


def check_neighbours(item: dict, size: int, top: bytes) -> None:
    before, after, value = item["before"], item["after"], digest(item["value"])
    if size == 0:
        need(before is None and after is None and top == sha(b""), "empty tree")
    left = before["index"] if before else -1
    right = after["index"] if after else size
    need(type(left) is int and type(right) is int and right == left + 1, "neighbours")
    need(-1 <= left < max(size, 1), "neighbours: place")
    for side in filter(None, (before, after)):
        need(side.keys() == {"index", "proof", "value"}, "neighbour: members")
        held = digest(side["value"])
        need(held < value if side is before else held > value, "neighbour: order")
        proof = [digest(text) for text in side["proof"]]
        need(included(sha(b"\x00" + held), side["index"], size, proof, top), "neighbour: proof")


def verify_statement(content: bytes, trusted: str) -> dict:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    envelope = json.loads(content)
    payload = base64.b64decode(envelope["payload"], validate=True)
    kind = envelope["payloadType"]
    need(kind == "application/vnd.in-toto+json", "payload type")
    message = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    public = Ed25519PublicKey.from_public_bytes(key_of(trusted)[3])
    for item in envelope["signatures"]:
        try:
            public.verify(base64.b64decode(item["sig"], validate=True), message)
            break
        except InvalidSignature:
            continue
    else:
        raise BadError("signature")
    found = json.loads(payload)
    need(found["_type"] == "https://in-toto.io/Statement/v1" and found["subject"], "statement")
    return found


def verify(path: Path, trusted: str = "") -> None:
    """Check whatever a path holds.

    Raises:
        BadError: It is refused.
    """
    try:
        content = b"" if path.is_dir() else path.read_bytes()
        if path.is_dir() or content.startswith(b"PK"):
            verify_bundle(files_of(path), trusted)
            return
        form = json.loads(content)
        if form.get("format") == "gradledger.receipt/1":
            verify_rows(content, trusted)
        elif form.get("format") == "gradledger.absence/1":
            verify_absence(content, trusted)
        else:
            verify_statement(content, trusted)
    except BadError:
        raise
    # Whatever else goes wrong with a stranger's file is a reason to refuse it.
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise BadError(f"form: {error}") from error
    except struct.error as error:
        raise BadError("row") from error


if __name__ == "__main__":
    try:
        verify(Path(sys.argv[1]), *sys.argv[2:3])
        print("ok")  # noqa: T201
    except BadError as error:
        sys.exit(f"not verified: {error}")
