"""A second verifier of receipts, bundles, proofs of absence and statements.

Written from docs/reference/formats.md; it shares no code with the package: standard library and
``cryptography`` only.

    python verify_evidence.py FILE_OR_FOLDER [VERIFIER_KEY]
"""

from __future__ import annotations

import base64
import io
import json
import re
import stat
import struct
import sys
import zipfile
import zlib
from pathlib import Path

from primitives import BadError, head_of, included, key_of, need, root, sha, signed_by
from verify_log import RECEIPTS, WIDTHS, read_leaf, tile_name, verify_receipt

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
NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*\Z")


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
    for key in [named[-1], trusted or named[-1]]:
        need(key_of(key)[0] == origin and signed_by(checkpoint, key), "signature")


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


# -- bundles -----------------------------------------------------------------------------------


def files_of(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        found = {}
        for item in sorted(path.rglob("*")):
            need(not item.is_symlink() and (item.is_dir() or item.is_file()), "kind of file")
            if item.is_file():
                found[item.relative_to(path).as_posix()] = item.read_bytes()
    else:
        found = unzip(path.read_bytes())
    for name in found:
        parts = name.split("/")
        plain = NAME.match(name) and not any(part.endswith(".") for part in parts)
        need(plain and len(name) <= 512, "name of a file")
    return found


def unzip(content: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            need(len(entries) <= 100_000 and size <= 2**30, "size of the bundle")
            for entry in entries:
                kind = stat.S_IFMT(entry.external_attr >> 16)
                need(kind in {0, stat.S_IFREG} and not entry.flag_bits & 1, "kind of entry")
                need(entry.orig_filename == entry.filename, "name of an entry")
                need(entry.filename not in found, "an entry twice")
                with archive.open(entry) as stream:
                    found[entry.filename] = stream.read(entry.file_size)
                    need(not stream.read(1), "an entry is longer than it says")
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise BadError("zip") from error
    return found


def verify_bundle(files: dict[str, bytes], trusted: str) -> None:
    index = load(files.get("bundle.json", b""), "gradledger.bundle/1", "files")
    listed = [(item["path"], item["num_bytes"], item["sha256"]) for item in index["files"]]
    others = {name: content for name, content in files.items() if name != "bundle.json"}
    right = [(name, len(others[name]), sha(others[name]).hex()) for name in sorted(others)]
    need(all(len(item) == 3 for item in index["files"]) and listed == right, "list of files")
    found = verify_rows(files.get("receipt.json", b""), trusted)
    checkpoint = found["leaves"][0]["receipt"].partition("\n\n")[2].encode()
    signed = found["leaves"][0]["receipt"].startswith(RECEIPTS[True])
    origin, size, top = head_of(checkpoint, signed=signed)
    wanted = {f"log/checkpoint{'' if signed else '.unsigned'}": checkpoint}
    leaves: dict[int, bytes] = {}
    for item in found["leaves"]:
        number = int(re.search(r"^index (\d+)$", item["receipt"], re.MULTILINE)[1])
        leaves[number] = item["leaf"].encode()
        suffix = "tlog-proof" if signed else "unsigned-proof"
        wanted[f"leaves/{number}.leaf"] = item["leaf"].encode()
        wanted[f"leaves/{number}.{suffix}"] = item["receipt"].encode()
        leaf = read_leaf(item["leaf"].encode())
        for file in leaf["files"] if leaf["kind"] == "policy" else ():
            content = files.get(file["path"], b"")
            need(
                (len(content), sha(content).hex()) == (file["num_bytes"], file["sha256"]), "policy"
            )
            wanted[file["path"]] = content
    about = load(files.get("log/log.json", b""), "gradledger.log/1", "origin signed verifier_keys")
    need((about["origin"], about["verifier_keys"]) == (origin, found["verifier_keys"]), "log.json")
    need(about["signed"] is bool(about["verifier_keys"]), "log.json: signed")
    need(all(key_of(key)[0] == origin for key in about["verifier_keys"]), "log.json: keys")
    need(all(files.get(name) == content for name, content in wanted.items()), "repeated files")
    tiles = {name: files[name] for name in files if name.startswith("log/tile/")}
    check_tiles(tiles, leaves, size, top)
    known = {"bundle.json", "receipt.json", "README.md", "log/log.json", *wanted, *tiles}
    need(set(files) == known, "a file that does not belong")


def check_tiles(files: dict[str, bytes], leaves: dict, size: int, top: bytes) -> None:
    wanted: dict[tuple[int, int], int] = {}
    level = 0
    while count := size >> 8 * level:
        numbers = {index >> 8 * (level + 1) for index in leaves}
        if count % 256:
            numbers.add(count // 256)
        for number in numbers:
            if 256 * number < count:
                wanted[level, number] = min(256, count - 256 * number)
        level += 1
    names = {"log/" + tile_name(str(lv), n, width): (lv, n) for (lv, n), width in wanted.items()}
    need(names.keys() == files.keys(), "tiles")
    hashes = {}
    for name, place in names.items():
        need(len(files[name]) == 32 * wanted[place], "tile: length")
        hashes[place] = [files[name][at : at + 32] for at in range(0, len(files[name]), 32)]
    carried: list[bytes] = []
    for lv in range(level):
        count = size >> 8 * lv
        items = (hashes[lv, count // 256] if count % 256 else []) + carried
        carried = [root(items)] if items else []
    need(carried == [top], "tiles: root hash")
    for (lv, number), held in hashes.items():
        if len(held) == 256:
            above = hashes.get((lv + 1, number // 256), [])
            need(len(above) > number % 256 and above[number % 256] == root(held), "tile above")
    for index, leaf in leaves.items():
        need(hashes[0, index // 256][index % 256] == sha(b"\x00" + leaf), "tile: leaf")


# -- absence and statements --------------------------------------------------------------------


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
