from __future__ import annotations

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.merkle import (
    Frontier,
    joined_root,
    leaf_hash,
    leaf_hashes,
    node_hash,
    root_hash,
)

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
#: Roots of the first n of them, as implementations of certificate transparency have them.
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(9))
def test_golden_roots(size: int, reference) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf_hash(leaf))
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    assert root_hash(hashes).hex() == frontier.root().hex() == ROOTS[size]
    assert reference.root(LEAVES[:size]).hex() == ROOTS[size]


def test_children_cannot_be_shown_as_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
    assert node_hash(left, right) == hashlib.sha256(b"\x01" + left + right).digest()


@given(st.integers(1, 40), st.integers(0, 20))
def test_fixed_width_leaves_hash_like_single_ones(row_bytes: int, num_rows: int) -> None:
    rows = os.urandom(row_bytes * num_rows)
    single = [leaf_hash(rows[at : at + row_bytes]) for at in range(0, len(rows), row_bytes)]
    assert leaf_hashes(rows, row_bytes) == single
    assert leaf_hashes(memoryview(bytearray(rows)), row_bytes) == single


@given(st.integers(0, 40))
def test_hashes_one_after_another_have_the_root_of_their_list(count: int) -> None:
    hashes = [leaf_hash(b"%d" % number) for number in range(count)]
    assert joined_root(b"".join(hashes)) == root_hash(hashes)
