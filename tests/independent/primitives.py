"""Trees, keys, notes and checkpoints for the second verifier; see ``verify_log``."""

from __future__ import annotations

import base64
import hashlib
import json
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

UNSIGNED = "gradledger.unsigned/1: nobody signed these lines\n"


class BadError(Exception):
    """Something is not as it should be."""


def need(condition: object, what: str) -> None:
    if not condition:
        raise BadError(what)


def sha(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def unbase64(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadError("base64") from error
    need(base64.b64encode(content).decode() == text, "base64")
    return content


def decimal(text: str) -> int:
    need(re.fullmatch("0|[1-9][0-9]{0,18}", text) and int(text) < 2**63, f"number {text!r}")
    return int(text)


def canonical(value: object) -> bytes:
    """RFC 8785 for what logs hold: objects, lists, text, null, booleans, integers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def record(content: bytes, what: str, tail: bytes = b"\n") -> dict:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise BadError(what) from error
    need(isinstance(found, dict) and canonical(found) + tail == content, f"{what}: spelling")
    return found


# -- trees -------------------------------------------------------------------------------------


def node(left: bytes, right: bytes) -> bytes:
    return sha(b"\x01" + left + right)


def root(hashes: list[bytes]) -> bytes:
    if len(hashes) < 2:
        return hashes[0] if hashes else sha(b"")
    k = 1
    while 2 * k < len(hashes):
        k *= 2
    return node(root(hashes[:k]), root(hashes[k:]))


def included(found: bytes, index: int, size: int, proof: list[bytes], top: bytes) -> bool:
    """RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    fn, sn = index, size - 1
    for item in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node(item, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node(found, item)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == top


# -- keys, notes, checkpoints ------------------------------------------------------------------


def key_of(text: str) -> tuple[str, bytes, int, bytes]:
    """Return name, id, kind and public key."""
    parts = text.split("+", 2)
    need(len(parts) == 3, "verifier key")
    packed = unbase64(parts[2])
    key_id = sha(parts[0].encode() + b"\n" + packed)[:4]
    need(len(packed) == 33 and key_id.hex() == parts[1], "verifier key")
    return parts[0], key_id, packed[0], packed[1:]


def named_as(text: str, origin: str) -> str:
    """Return a key under a log's origin, which it must bear or be the beginning of."""
    name, _, kind, public = key_of(text)
    need(origin == name or origin.startswith(f"{name}/"), "key of another log")
    packed = bytes([kind]) + public
    key_id = sha(origin.encode() + b"\n" + packed)[:4]
    return f"{origin}+{key_id.hex()}+{base64.b64encode(packed).decode()}"


def split_note(content: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    try:
        whole = content.decode()
    except UnicodeDecodeError as error:
        raise BadError("note: encoding") from error
    need(all(sign >= " " or sign == "\n" for sign in whole), "note: control character")
    text, blank, tail = whole.rpartition("\n\n")
    lines = tail.split("\n")
    need(blank and text and lines.pop() == "" and lines, "note: form")
    signatures = []
    for line in lines:
        words = line.split(" ")
        need(len(words) == 3 and words[0] == "\u2014" and words[1], "note: signature line")
        packed = unbase64(words[2])
        need(len(packed) > 4, "note: signature line")
        signatures.append((words[1], packed[:4], packed[4:]))
    return text + "\n", signatures


def signed_by(content: bytes, key: str) -> bool:
    """Whether a key of a log signed a note; one that does not hold is an error."""
    name, key_id, kind, public = key_of(key)
    need(kind == 1, "kind of key")
    text, signatures = split_note(content)
    found = False
    for other, other_id, signature in signatures:
        if (other, other_id) == (name, key_id):
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(signature, text.encode())
            except InvalidSignature as error:
                raise BadError("signature does not hold") from error
            found = True
    return found


def head_of(content: bytes, *, signed: bool) -> tuple[str, int, bytes]:
    """Return origin, size and root hash of a checkpoint or an unsigned head."""
    if signed:
        text = split_note(content)[0]
    else:
        need(content.startswith(UNSIGNED.encode()), "unsigned head")
        text = content[len(UNSIGNED) :].decode()
    lines = text.split("\n")
    need(len(lines) == 4 and lines[3] == "" and lines[0], "checkpoint: lines")
    need(not any(sign.isspace() or sign == "+" for sign in lines[0]), "checkpoint: origin")
    top = unbase64(lines[2])
    need(len(top) == 32, "checkpoint: root hash")
    return lines[0], decimal(lines[1]), top
