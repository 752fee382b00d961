from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from gradledger.canon import leaf_bytes, read_leaf
from gradledger.errors import InputError
from gradledger.schema import LEAF_KINDS, FileDigest, Leaf, StateLeaf

SAMPLES: dict[str, Any] = {"int": 3, "int | None": None, "str": "text"}
FILE = FileDigest("a/b", 1, "0f" * 32)


def sample(kind: type[Leaf]) -> Leaf:
    values = {
        item.name: "a0" * 32 if item.name.endswith(("sha256", "_root")) else SAMPLES[str(item.type)]
        for item in fields(kind)
        if item.init and item.name != "files"
    }
    return kind(files=(FILE,), **values)


LEAF = leaf_bytes(sample(StateLeaf))


@pytest.mark.parametrize("kind", sorted(LEAF_KINDS))
def test_every_kind_comes_back(kind: str) -> None:
    leaf = sample(LEAF_KINDS[kind])
    assert leaf.kind == kind
    content = leaf_bytes(leaf)
    assert read_leaf(content) == leaf
    assert json.loads(content)["format"] == "gradledger.leaf/1"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"{", b"{ "),
        (b'"step":3', b'"step":3.0'),
        (b'"step":3', b'"step":3e0'),
        (b'"step":3', b'"step":-3'),
        (b'"step":3', b'"step":true'),
        (b'"step":3', b'"step":null'),
        (b'"step":3', b'"step":"3"'),
        (b'"step":3', b'"step":3,"more":1'),
        (b'"step":3', b'"step":3,"step":3'),
        (b',"step":3', b""),
        (b"leaf/1", b"leaf/2"),
        (b'"state"', b'"states"'),
        (b'"state"', b"1"),
        (b'"a0a0', b'"A0a0'),
        (b'"a0a0', b'"a0'),
        (b'"num_bytes":1', b'"num_bytes":"1"'),
        (b'"files":[', b'"files":[1,'),
        (b'"a/b"', b'"a\\u002fb"'),
    ],
)
def test_other_spellings_are_refused(old: bytes, new: bytes) -> None:
    changed = LEAF.replace(old, new, 1)
    assert changed != LEAF
    with pytest.raises(InputError, match="I122"):
        read_leaf(changed)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{}", b"\xff", LEAF + b"\n"])
def test_bytes_that_are_no_leaf(content: bytes) -> None:
    with pytest.raises(InputError, match="I122"):
        read_leaf(content)


def test_leaves_that_could_not_be_read_are_not_written() -> None:
    good = sample(StateLeaf)
    for wrong in (
        replace(good, step=-1),
        replace(good, step="3"),
        replace(good, state_sha256="xyz"),
        replace(good, files=(replace(FILE, sha256="0f"),)),
    ):
        with pytest.raises(InputError, match="I121"):
            leaf_bytes(wrong)
