"""The definitions of RFC 6962, section 2.1, word for word as recursions: slow, and the oracle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace

import pytest


def root(D: Sequence[bytes]) -> bytes:
    if len(D) < 2:
        return hashlib.sha256(b"\0" + D[0] if D else b"").digest()
    k = 1 << (len(D) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(D[:k]) + root(D[k:])).digest()


def path(m: int, D: Sequence[bytes]) -> list[bytes]:
    if len(D) == 1:
        return []
    k = 1 << (len(D) - 1).bit_length() - 1
    return [*path(m, D[:k]), root(D[k:])] if m < k else [*path(m - k, D[k:]), root(D[:k])]


def subproof(m: int, D: Sequence[bytes], b: bool = True) -> list[bytes]:
    if m == len(D):
        return [] if b else [root(D)]
    k = 1 << (len(D) - 1).bit_length() - 1
    left = m <= k
    return (
        [*subproof(m, D[:k], b), root(D[k:])]
        if left
        else [*subproof(m - k, D[k:], False), root(D[:k])]
    )


@pytest.fixture(scope="session")
def reference() -> SimpleNamespace:
    return SimpleNamespace(root=root, path=path, subproof=subproof)
