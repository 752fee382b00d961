from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.merkle import EMPTY_ROOT, RootStream, root_hash
from gradledger.merkle import root_stream as module

HASHES = [hashlib.sha256(b"%d" % number).digest() for number in range(100)]


@pytest.fixture(autouse=True)
def _small_subtrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SUBTREE", 8)


@given(st.lists(st.integers(0, 20), max_size=6))
def test_any_pieces_give_the_root_of_the_whole(lengths: list[int]) -> None:
    stream, start = RootStream(), 0
    for length in lengths:
        stream.add(b"".join(HASHES[start : start + length]))
        start += length
        assert stream.root() == root_hash(HASHES[:start])
        assert stream.size == len(HASHES[:start])
        assert len(stream._rest) < 8 * 32


def test_no_leaves() -> None:
    assert RootStream().root() == EMPTY_ROOT


def test_real_subtrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SUBTREE", 1 << 13)
    hashes = [number.to_bytes(32, "big") for number in range(3 * (1 << 13) + 5)]
    stream = RootStream()
    stream.add(b"".join(hashes))
    assert stream.root() == root_hash(hashes)
