"""Leaves as canonical bytes, and back; a leaf has one spelling, and any other is refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from gradledger.canon.canonical import canonical_json
from gradledger.canon.strict import parse_json
from gradledger.errors import InputError
from gradledger.schema import LEAF_FORMAT, LEAF_KINDS, FileDigest, Leaf

_HEX_DIGITS: Final = frozenset("0123456789abcdef")
_NUM_HEX_DIGITS: Final = 64
_DIGESTS: Final = ("sha256", "_root")

#: Annotation of a field -> types that its value may have.
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,),
    "int | None": (int, type(None)),
    "str": (str,),
}


def leaf_bytes(leaf: Leaf) -> bytes:
    """Return the bytes that the log takes for a leaf: its canonical JSON.

    Raises:
        InputError: A field has another type than the schema says, or is no digest where it must be
            one. Code I121.
    """
    content = canonical_json(leaf)
    try:
        read_leaf(content)
    except InputError as error:
        raise InputError(
            "I121", observed=error.observed, expected=error.expected, where=f"leaf {leaf.kind!r}"
        ) from error
    return content


def read_leaf(content: bytes) -> Leaf:
    """Return the leaf that bytes of the log stand for.

    Raises:
        InputError: Not a leaf of a known kind in its one canonical spelling. Code I122.
    """
    record = parse_json(content, "leaf")
    if not isinstance(record, dict) or record.get("format") != LEAF_FORMAT:
        raise _not_a_leaf("another format", LEAF_FORMAT)
    kind = LEAF_KINDS.get(record["kind"]) if isinstance(record.get("kind"), str) else None
    if kind is None:
        raise _not_a_leaf(f"the kind {record.get('kind')!r:.60}", f"one of {', '.join(LEAF_KINDS)}")
    given = {name: value for name, value in record.items() if name not in {"format", "kind"}}
    wanted = {item.name: str(item.type) for item in fields(kind) if item.init}
    if given.keys() != wanted.keys():
        odd = sorted(given.keys() ^ wanted.keys())
        raise _not_a_leaf(f"the fields {', '.join(odd)[:100]}", f"those of {kind.__name__}")
    given["files"] = _files(given["files"])
    for name, annotation in wanted.items():
        if name != "files":
            _check_field(name, given[name], annotation)
    leaf = kind(**given)
    if canonical_json(leaf) != content:
        raise _not_a_leaf("another spelling", "canonical JSON (RFC 8785)")
    return leaf


def _files(listed: Any) -> tuple[FileDigest, ...]:
    if not isinstance(listed, list):
        raise _not_a_leaf("files that are no list", "a list")
    found = []
    for item in listed:
        if not isinstance(item, dict) or item.keys() != {"path", "num_bytes", "sha256"}:
            raise _not_a_leaf(f"the file {item!r:.100}", "path, num_bytes and sha256")
        _check_field("path", item["path"], "str")
        _check_field("num_bytes", item["num_bytes"], "int")
        _check_field("sha256", item["sha256"], "str")
        found.append(FileDigest(**item))
    return tuple(found)


def _check_field(name: str, value: Any, annotation: str) -> None:
    if type(value) not in _TYPES[annotation] or (isinstance(value, int) and value < 0):
        raise _not_a_leaf(f"{name} {value!r:.60}", f"{annotation}, not negative")
    if name.endswith(_DIGESTS) and (
        len(value) != _NUM_HEX_DIGITS or not _HEX_DIGITS.issuperset(value)
    ):
        raise _not_a_leaf(f"{name} {value!r:.80}", f"{_NUM_HEX_DIGITS} hex digits")


def _not_a_leaf(observed: str, expected: str) -> InputError:
    return InputError("I122", observed=observed, expected=expected, where="leaf")
