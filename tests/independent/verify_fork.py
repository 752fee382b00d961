"""The record of a fork for the second verifier; written from docs/reference/formats.md."""

from __future__ import annotations

from pathlib import Path

from primitives import canonical, head_of, key_of, need, signed_by
from verify_log import RECEIPTS, read_leaf, verify_receipt
from verify_rows import load

MEMBERS = "forked_at leaf parent_origin parent_run_id receipt state_sha256 step verifier_keys"


def verify_fork(run: Path, leaves: list[bytes]) -> None:
    """Check ``fork.json`` of a run against its leaf, and the proof that it carries.

    Raises:
        BadError: It is refused.
    """
    content = (run / "fork.json").read_bytes()
    found = load(content, "gradledger.fork/1", MEMBERS)
    need(canonical(found) + b"\n" == content, "fork: spelling")
    state = read_leaf(found["leaf"].encode())
    said = (found["parent_run_id"], found["step"], found["state_sha256"])
    need(state["kind"] == "state", "fork: leaf")
    need((state["run_id"], state["step"], state["state_sha256"]) == said, "fork: leaf")
    verify_receipt(found["receipt"].encode(), found["leaf"].encode(), "")
    head, signed = found["receipt"].partition("\n\n")[2].encode(), bool(found["verifier_keys"])
    need(found["receipt"].startswith(RECEIPTS[signed]), "fork: receipt")
    origin, size, top = head_of(head, signed=signed)
    need(origin == found["parent_origin"], "fork: origin")
    if signed:
        key = found["verifier_keys"][-1]
        need(key_of(key)[0] == origin and signed_by(head, key), "fork: signature")
    forks = [leaf for leaf in map(read_leaf, leaves) if leaf["kind"] == "fork"]
    need(len(forks) == 1, "fork: one leaf")
    names = ("parent_run_id", "parent_origin", "step", "state_sha256")
    need(all(forks[0][name] == found[name] for name in names), "fork: leaf of this run")
    need((forks[0]["parent_size"], forks[0]["parent_root"]) == (size, top.hex()), "fork: head")
