"""Receipts of rows for the second verifier; see ``verify_evidence``."""

from __future__ import annotations

import json
import re
import struct

from primitives import BadError, head_of, included, key_of, named_as, need, sha, signed_by
from verify_log import WIDTHS, read_leaf, verify_receipt

NUMBERS = {"int16": "<h", "int32": "<i", "int64": "<q"}
SUBJECTS = {
    "visit": {"step", "micro_batch", "position"},
    "examples": {"examples"},
    "decision": {"decision"},
    "step": {"step"},
    "state": {"step"},
}
TABLES = {
    "visit": {"visits"},
    "examples": {"decisions/examples", "decisions/distinct", "decisions/truths", "visits"},
    "decision": {"decisions/distinct", "decisions/truths"},
    "step": {"steps", "books", "visits"},
    "state": set(),
}


def jcs(value: object) -> str:
    """RFC 8785 for objects, lists, text, null, booleans and integers."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{jcs(key)}:{jcs(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    need(value is None or isinstance(value, str | bool | int), "a value of no known kind")
    return json.dumps(value, ensure_ascii=False)


def load(content: bytes, form: str, members: str) -> dict:
    try:
        found = json.loads(content)
        same = (jcs(found) + "\n").encode() == content
    except (ValueError, RecursionError) as error:
        raise BadError("json") from error
    need(isinstance(found, dict) and same, "spelling")
    need(found.get("format") == form and found.keys() == {"format", *members.split()}, form)
    return found


def digest(text: object) -> bytes:
    need(isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text), "hash")
    return bytes.fromhex(text)


def decode(columns: list, row: bytes) -> dict:
    """Whole numbers and digests of a row; other values as their bytes."""
    values, at = {}, -(-len(columns) // 8)
    for place, (name, kind) in enumerate(columns):
        piece = row[at : at + WIDTHS[kind]]
        at += WIDTHS[kind]
        if not row[place // 8] >> place % 8 & 1:
            need(not any(piece), "absent value")
            values[name] = None
        else:
            values[name] = struct.unpack(NUMBERS[kind], piece)[0] if kind in NUMBERS else piece
    return values


# -- who signed --------------------------------------------------------------------------------


def check_signers(checkpoint: bytes, named: list, trusted: str) -> None:
    signed = not checkpoint.startswith(b"gradledger.unsigned/1")
    origin = head_of(checkpoint, signed=signed)[0]
    for key in named:
        key_of(key)
    if not signed:
        need(not named and not trusted, "unsigned")
        return
    need(named, "no key of the log")
    need(key_of(named[-1])[0] == origin, "key of another log")
    for key in [named[-1], named_as(trusted, origin) if trusted else named[-1]]:
        need(signed_by(checkpoint, key), "signature")


# -- receipts ----------------------------------------------------------------------------------


def check_rows(found: dict) -> tuple[list, list]:
    """Check leaves and rows; return table and values of each row, and all leaves."""
    need(isinstance(found["leaves"], list) and found["leaves"], "no leaf")
    leaves, indices, heads = [], [], set()
    for item in found["leaves"]:
        need(item.keys() == {"columns", "leaf", "receipt"}, "leaf: members")
        leaf = read_leaf(item["leaf"].encode())
        verify_receipt(item["receipt"].encode(), item["leaf"].encode(), "")
        need(leaf["run_id"] == found["run_id"], "run")
        need((leaf["kind"] == "segment") == (item["columns"] is not None), "columns")
        head, _, checkpoint = item["receipt"].partition("\n\n")
        heads.add(checkpoint)
        line = next(line for line in head.split("\n") if line.startswith("index "))
        indices.append(int(line[6:]))
        leaves.append(leaf)
    need(indices == sorted(set(indices)) and len(heads) == 1, "leaves")
    rows, keys = [], []
    for item in found["rows"]:
        need(item.keys() == {"leaf", "proof", "row", "row_index", "texts"}, "row: members")
        need(type(item["leaf"]) is int and type(item["row_index"]) is int, "row: place")
        need(0 <= item["leaf"] < len(leaves), "row: leaf")
        keys.append((item["leaf"], item["row_index"]))
        rows.append(check_row(item, leaves[item["leaf"]], found["leaves"][item["leaf"]]["columns"]))
    need(keys == sorted(set(keys)), "rows: order")
    used = {leaf for leaf, _ in keys}
    segments = {n for n, leaf in enumerate(leaves) if leaf["kind"] == "segment"}
    need(used == segments, "segments without rows")
    return rows, leaves


def check_row(item: dict, leaf: dict, columns: list) -> tuple[str, dict]:
    need(leaf["kind"] == "segment" and leaf["row_format"] == "gradledger.row/1", "row: leaf")
    need(all(len(pair) == 2 and pair[1] in WIDTHS for pair in columns), "columns")
    named = sha(b"gradledger\x00row/1\x00" + jcs(columns).encode()).hex()
    row = bytes.fromhex(item["row"])
    need(row.hex() == item["row"], "row: spelling")
    width = -(-len(columns) // 8) + sum(WIDTHS[kind] for _, kind in columns)
    need(named == leaf["columns_sha256"] and len(row) == width == leaf["row_bytes"], "columns")
    proof = [digest(text) for text in item["proof"]]
    top = bytes.fromhex(leaf["inner_root"])
    place, count = item["row_index"], leaf["num_rows"]
    need(included(sha(b"\x00" + row), place, count, proof, top), "row: proof")
    values = decode(columns, row)
    kinds = dict(map(tuple, columns))
    for name, text in item["texts"].items():
        need(kinds.get(name) in {"string", "label"}, "text: column")
        need(isinstance(text, str) and values[name] == sha(text.encode()), "text")
    return leaf["table"], values


def check_subject(subject: dict, rows: list, leaves: list) -> None:
    kind = subject.get("kind")
    need(kind in SUBJECTS and subject.keys() == {"kind", *SUBJECTS[kind]}, "subject")
    for name in SUBJECTS[kind]:
        listed = subject[name] if name == "examples" else [subject[name]]
        need(isinstance(listed, list) and listed, "subject: numbers")
        need(all(type(item) is int and item >= 0 for item in listed), "subject: numbers")
        need(listed == sorted(set(listed)), "subject: numbers")
    need({table for table, _ in rows} <= TABLES[kind], "subject: tables")
    of = {table: [row for name, row in rows if name == table] for table, _ in rows}
    distinct, truths = of.get("decisions/distinct", []), of.get("decisions/truths", [])
    visits = of.get("visits", [])
    if kind == "visit":
        need(len(rows) == 1 and all(visits[0][n] == subject[n] for n in SUBJECTS[kind]), "visit")
    if kind == "step":
        need(all(row["step"] == subject["step"] for _, row in rows), "step")
        need(len(of.get("steps", [])) == 1, "step: row")
        places = {(row["micro_batch"], row["position"]) for row in visits}
        need(len(places) == of["steps"][0]["visits"], "step: visits")
    wanted = {subject["decision"]} if kind == "decision" else set()
    if kind == "examples":
        examples = of.get("decisions/examples", [])
        need(sorted(row["example"] for row in examples) == subject["examples"], "examples")
        need(all(row["example"] in subject["examples"] for row in visits), "examples: visits")
        wanted = {row["decision"] for row in examples + visits}
    need(sorted(row["decision"] for row in distinct) == sorted(wanted), "decisions")
    need(all(row["decision"] in wanted for row in truths), "truths")
    for leaf in leaves:
        if leaf["kind"] == "policy":
            named = sha(leaf["policy_sha256"].encode())
            need(any(row["policy_digest"] == named for row in distinct), "policy")
        else:
            need(leaf["kind"] == ("state" if kind == "state" else "segment"), "kind of leaf")
    if kind == "state":
        need([leaf["step"] for leaf in leaves] == [subject["step"]], "state")


def verify_rows(content: bytes, trusted: str) -> dict:
    found = load(content, "gradledger.receipt/1", "leaves rows run_id subject verifier_keys")
    rows, leaves = check_rows(found)
    check_subject(found["subject"], rows, leaves)
    checkpoint = found["leaves"][0]["receipt"].partition("\n\n")[2].encode()
    check_signers(checkpoint, found["verifier_keys"], trusted)
    return found
