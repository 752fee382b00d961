"""Bundles for the second verifier; see ``verify_evidence``."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from pathlib import Path

from primitives import BadError, head_of, key_of, need, root, sha
from verify_log import RECEIPTS, read_leaf, tile_name
from verify_rows import load, verify_rows

NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*\Z")


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
