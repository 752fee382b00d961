"""A second verifier of logs and receipts, from docs/reference/formats.md alone.

It shares no code with the package: standard library and ``cryptography`` only. It does not read
Parquet, so it checks the digests of segments and the rows that receipts carry, not inner roots.

    python verify_log.py RUN [VERIFIER_KEY]
    python verify_log.py RECEIPT LEAF VERIFIER_KEY
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from primitives import (
    BadError,
    canonical,
    decimal,
    head_of,
    included,
    key_of,
    named_as,
    need,
    record,
    root,
    sha,
    signed_by,
    unbase64,
)

RECEIPTS = {True: "c2sp.org/tlog-proof@v1", False: "gradledger.unsigned-proof/1"}
WIDTHS = {
    "bool": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "float64": 8, "timestamp": 8,
    "digest": 32, "string": 32, "label": 32,
    "bytes64": 64, "bytes128": 128, "bytes256": 256, "bytes512": 512, "bytes1024": 1024,
}  # fmt: skip
COMMON = {"format", "kind", "run_id", "files"}
FIELDS = {
    "segment": "table num_rows min_step max_step row_format row_bytes columns_sha256 inner_root"
    " segment_format",
    "run_begin": "recorded_at",
    "run_end": "recorded_at num_steps final_sha256",
    "policy": "recorded_at policy_id policy_version policy_sha256",
    "state": "step state_sha256",
    "resume": "recorded_at step state_sha256",
    "fork": "recorded_at parent_run_id parent_origin parent_size parent_root step state_sha256",
    "erasure": "recorded_at what scope reason",
    "commitments": "source num_values sorted_root",
    "key": "recorded_at verifier_key replaces",
    "files": "recorded_at",
    "derived": "recorded_at what",
}


# -- the log -----------------------------------------------------------------------------------


def tile_name(level: str, number: int, width: int) -> str:
    digits = f"{number:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([*("x" + group for group in groups[:-1]), groups[-1]])
    return f"tile/{level}/{path}" + ("" if width == 256 else f".p/{width}")


def unbundle(content: bytes, width: int) -> list[bytes]:
    leaves, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 2], "big")
        leaves.append(content[at + 2 : at + 2 + length])
        at += 2 + length
    need(at == len(content) and len(leaves) == width, "bundle")
    return leaves


def waiting_of(folder: Path, first: int) -> list[bytes]:
    path, leaves, at = folder / "waiting", [], 0
    content = path.read_bytes() if path.exists() else b""
    while at < len(content):
        index, length = int.from_bytes(content[at : at + 8], "big"), content[at + 8 : at + 10]
        end = at + 10 + int.from_bytes(length, "big")
        leaf, hashed = content[at + 10 : end], content[end : end + 32]
        if end + 32 > len(content) or hashed != sha(b"\x00" + leaf):
            need(end + 32 >= len(content) or not any(content[at:]), "waiting: damaged")
            break
        need(index <= first + len(leaves), "waiting: gap")
        if index == first + len(leaves):
            leaves.append(leaf)
        at = end + 32
    return leaves


def check_tiles(folder: Path, leaves: list[bytes], sizes: set[int], small: set[str]) -> None:
    """Compare all files below ``tile`` with the leaves; look for those that lack and for others."""
    right, present = expected_tiles(leaves), set()
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        left_over = path.name.startswith(".") and path.name.endswith(".tmp")
        if path.is_dir() or left_over or name in small:
            continue
        need(name in right and not path.is_symlink(), f"{name} does not belong to the log")
        need(path.read_bytes() == b"".join(right[name]), f"{name} differs from the leaves")
        present.add(name)
    for size in sizes:
        for level in ["entries", *map(str, range(8))]:
            count = size >> 8 * (0 if level == "entries" else int(level))
            for number in range(-(-count // 256)):
                width = min(256, count - 256 * number)
                names = {tile_name(level, number, width), tile_name(level, number, 256)}
                need(names & present, f"{tile_name(level, number, width)} lacks")


def expected_tiles(leaves: list[bytes]) -> dict[str, list[bytes]]:
    levels = [[sha(b"\x00" + leaf) for leaf in leaves]]
    while len(levels[-1]) >= 256:
        low = levels[-1]
        levels.append([root(low[at : at + 256]) for at in range(0, len(low) - 255, 256)])
    rows = {str(number): hashes for number, hashes in enumerate(levels)}
    rows["entries"] = [len(leaf).to_bytes(2, "big") + leaf for leaf in leaves]
    right = {}
    for level, items in rows.items():
        for at in range(0, len(items), 256):
            for width in range(1, min(256, len(items) - at) + 1):
                right[tile_name(level, at // 256, width)] = items[at : at + width]
    return right


def read_published(folder: Path, size: int) -> list[bytes]:
    leaves: list[bytes] = []
    for number in range(-(-size // 256)):
        width = min(256, size - 256 * number)
        exact, full = (folder / tile_name("entries", number, w) for w in (width, 256))
        need(exact.exists() or full.exists(), f"bundle {number} lacks")
        found = exact if exact.exists() else full
        leaves += unbundle(found.read_bytes(), width if exact.exists() else 256)[:width]
    return leaves


def read_leaf(content: bytes) -> dict:
    leaf = record(content, "leaf", b"")
    need(leaf.get("format") == "gradledger.leaf/1" and leaf.get("kind") in FIELDS, "leaf: kind")
    need(leaf.keys() == COMMON | set(FIELDS[leaf["kind"]].split()), "leaf: fields")
    for name, value in leaf.items():
        if name.endswith(("sha256", "_root")):
            need(isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value), f"leaf: {name}")
    return leaf


def check_chain(heads: dict[int, bytes], leaves: list[dict], keys: list[str]) -> None:
    """Check that each checkpoint is signed by the key in force."""
    chain, size = [keys[0]], 0
    for next_size, content in sorted(heads.items()):
        need(signed_by(content, chain[-1]), f"checkpoint {next_size} is not signed by its key")
        for leaf in leaves[size:next_size]:
            next_key = leaf.get("verifier_key") if leaf.get("replaces") == chain[-1] else None
            if next_key and signed_by(content, next_key):
                chain.append(next_key)
        size = next_size
    need(chain == keys, "keys of log.json")


def places_of(leaves: list[dict]) -> dict[tuple[int, str], str]:
    """Say where the files of each leaf lie: a resume moves them to its orphans."""
    places, owners = {}, {}
    for number, leaf in enumerate(leaves):
        for file in leaf["files"]:
            path = file["path"]
            need(path not in owners, f"{path} is in two leaves")
            owners[path], places[number, path] = number, path
            before = re.fullmatch(r"orphans/[^/]+/(.+)", path)
            if leaf["kind"] == "resume" and before and before[1] in owners:
                places[owners.pop(before[1]), before[1]] = path
    return places


def check_files(run: Path, leaves: list[dict]) -> None:
    seen, places = set(), places_of(leaves)
    for number, leaf in enumerate(leaves):
        for file in leaf["files"]:
            path = run / places[number, file["path"]]
            need(".." not in path.parts and not file["path"].startswith("/"), "path of a file")
            need(path.is_file() and not path.is_symlink(), f"{file['path']} lacks")
            content = path.read_bytes()
            same = len(content) == file["num_bytes"] and sha(content).hex() == file["sha256"]
            need(same, f"{file['path']} is altered")
            seen.add(places[number, file["path"]])
            if leaf["kind"] == "commitments":
                values = [content[at : at + 32] for at in range(0, len(content), 32)]
                need(values == sorted(set(values)), "commitments: order")
                top = root([sha(b"\x00" + value) for value in values]).hex()
                need((len(values), top) == (leaf["num_values"], leaf["sorted_root"]), "commitments")
    for path in run.rglob("part-*.parquet"):
        need(path.relative_to(run).as_posix() in seen, f"{path.name} is not in the log")


def last_signed(folder: Path, origin: str) -> tuple[str, int, bytes]:
    path = folder / "last-signed.json"
    need(path.is_file(), "no last-signed.json")
    note = record(path.read_bytes(), path.name)
    need(note.keys() == {"format", "origin", "root_hash", "tree_size"}, path.name)
    need((note["format"], note["origin"]) == ("gradledger.last-signed/1", origin), path.name)
    return origin, note["tree_size"], bytes.fromhex(note["root_hash"])


def verify_run(run: Path, trusted: str = "") -> int:
    """Check the log of a run and the files it commits to; return the tree size."""
    folder = run / "log"
    need((folder / "log.json").is_file(), "no log")
    about = record((folder / "log.json").read_bytes(), "log.json")
    need(about.keys() == {"format", "origin", "signed", "verifier_keys"}, "log.json: fields")
    signed, keys = about["signed"], about["verifier_keys"]
    need(about["format"] == "gradledger.log/1" and signed is bool(keys), "log.json")
    need(all(key_of(key)[0] == about["origin"] for key in keys), "log.json: keys")
    if trusted:
        need(key_of(trusted)[3] in [key_of(key)[3] for key in keys], "no trusted key")
    name = "checkpoint" if signed else "checkpoint.unsigned"
    need((folder / name).is_file(), "no checkpoint")
    last = (folder / name).read_bytes()
    origin, size, top = head_of(last, signed=signed)
    paths = [path for path in (folder / "checkpoints").glob("*") if path.name[0] != "."]
    heads = {decimal(path.name): path.read_bytes() for path in paths}
    need(origin == about["origin"] and heads.get(size) == last, "checkpoint")
    claims = {f"checkpoints/{number}": head_of(heads[number], signed=signed) for number in heads}
    for place, head in claims.items():
        need(head[0] == origin and place == f"checkpoints/{head[1]}", place)
    if signed:
        claims["last-signed.json"] = last_signed(folder, origin)
    contents = read_published(folder, size)
    contents += waiting_of(folder, size)
    hashes = [sha(b"\x00" + content) for content in contents]
    for place, (_, claimed, claimed_top) in claims.items():
        need(claimed <= len(hashes), f"{place}: the log was cut")
        need(root(hashes[:claimed]) == claimed_top, f"{place}: root hash")
    need(root(hashes[:size]) == top, "root hash")
    small = {"log.json", name, "waiting", "run.lock", *claims}
    check_tiles(folder, contents, {size, *heads}, small)
    leaves = [read_leaf(content) for content in contents]
    if signed:
        check_chain(heads, leaves, keys)
    begin = run / "run.json"
    runs = {leaf["run_id"] for leaf in leaves}
    if begin.is_file():
        runs.add(json.loads(begin.read_bytes())["run_id"])
    need(len(runs) <= 1, "leaves of several runs")
    check_files(run, leaves)
    return size


def verify_receipt(content: bytes, leaf: bytes, trusted: str) -> None:
    """Check the receipt of a leaf; without a key, whoever signed it."""
    top, blank, rest = content.partition(b"\n\n")
    lines = top.decode().split("\n")
    signed = lines.pop(0) == RECEIPTS[True]
    need(blank and (signed or content.startswith(RECEIPTS[False].encode() + b"\n")), "receipt")
    if lines and lines[0].startswith("extra "):
        need(unbase64(lines.pop(0)[6:]), "receipt: extra")
    need(lines and lines[0].startswith("index "), "receipt: index")
    index, proof = decimal(lines.pop(0)[6:]), [unbase64(line) for line in lines]
    origin, size, root_hash = head_of(rest, signed=signed)
    if trusted:
        need(signed and signed_by(rest, named_as(trusted, origin)), "receipt: signature")
    need(all(len(item) == 32 for item in proof), "receipt: hash")
    need(included(sha(b"\x00" + leaf), index, size, proof, root_hash), "receipt: proof")


def verify_row(content: bytes, trusted: str) -> bytes:
    """Check the receipt of a row; return the row's bytes."""
    found = record(content, "row receipt")
    need(found["format"] == "gradledger.row-receipt/1", "row receipt: format")
    leaf = read_leaf(found["leaf"].encode())
    need(leaf["kind"] == "segment" and leaf["row_format"] == "gradledger.row/1", "row receipt")
    columns, row = found["columns"], bytes.fromhex(found["row"])
    digest = sha(b"gradledger\x00row/1\x00" + canonical(columns)).hex()
    width = -(-len(columns) // 8) + sum(WIDTHS[kind] for _, kind in columns)
    need(digest == leaf["columns_sha256"] and width == leaf["row_bytes"] == len(row), "columns")
    proof = [bytes.fromhex(item) for item in found["proof"]]
    top = bytes.fromhex(leaf["inner_root"])
    place, count = found["row_index"], leaf["num_rows"]
    need(included(sha(b"\x00" + row), place, count, proof, top), "row receipt: proof")
    verify_receipt(found["receipt"].encode(), found["leaf"].encode(), trusted)
    return row


if __name__ == "__main__":
    target = Path(sys.argv[1])
    try:
        if target.is_dir():
            print(f"ok: {verify_run(target, *sys.argv[2:3])} leaves")  # noqa: T201
        else:
            verify_receipt(target.read_bytes(), Path(sys.argv[2]).read_bytes(), sys.argv[3])
            print("ok")  # noqa: T201
    except BadError as error:
        sys.exit(f"not verified: {error}")
