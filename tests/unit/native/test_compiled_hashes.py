"""The compiled hashes against those of the room of trees; none where they would be wrong."""

from __future__ import annotations

import ctypes
import hashlib
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.merkle import joined_root, leaf_hash, leaf_hashes
from gradledger.native import build, compiled_hashes
from gradledger.native import hashes as module

needed = pytest.mark.skipif(compiled_hashes() is None, reason="no compiler, or no instructions")


@needed
@given(st.integers(1, 700), st.integers(0, 5), st.randoms(use_true_random=False))
def test_rows_of_any_width(row_bytes: int, num_rows: int, chance) -> None:
    rows = chance.randbytes(row_bytes * num_rows)
    expected = b"".join(leaf_hashes(rows, row_bytes))
    assert compiled_hashes().leaf_hashes(rows, row_bytes) == expected
    assert compiled_hashes().leaf_hashes(bytearray(rows), row_bytes) == expected


@needed
@pytest.mark.parametrize("count", [*range(1, 70), 1000, 8191, 8192, 8193])
def test_roots_of_any_size(count: int) -> None:
    hashes = b"".join(leaf_hash(b"%d" % number) for number in range(count))
    kept = bytes(bytearray(hashes))
    assert compiled_hashes().root(hashes) == joined_root(hashes)
    assert hashes == kept


@needed
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_texts_of_any_length(texts: list[bytes]) -> None:
    content = b"".join(texts)
    ends = [0, *accumulate(map(len, texts))]
    place = ctypes.create_string_buffer(content, max(1, len(content)))
    offsets = (ctypes.c_int64 * len(ends))(*ends)
    found = compiled_hashes().text_hashes(
        ctypes.addressof(place), ctypes.addressof(offsets), len(texts)
    )
    assert found == b"".join(hashlib.sha256(text).digest() for text in texts)


@pytest.mark.parametrize("wrong", ["hash_leaves", "fold_hashes", "hash_texts"])
def test_wrong_hashes_are_not_used(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    if compiled_hashes() is None:
        pytest.skip("no compiler, or no instructions")

    class Wrong:
        def __init__(self, library: ctypes.CDLL) -> None:
            for name in ("hash_leaves", "fold_hashes", "hash_texts"):
                setattr(self, name, getattr(library, name))
            setattr(self, wrong, ctypes.CFUNCTYPE(None)(lambda: None))

    library = build.load(module.HASHES)
    monkeypatch.setattr(module, "load", lambda _library: Wrong(library))
    assert compiled_hashes.__wrapped__() is None


def test_a_processor_without_the_instructions_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load", lambda _library: object())
    assert compiled_hashes.__wrapped__() is None
    monkeypatch.setattr(module, "load", lambda _library: None)
    assert compiled_hashes.__wrapped__() is None
