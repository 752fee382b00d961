"""Verify inclusion and consistency proofs from hashes alone.

Source:
    RFC 9162, sections 2.1.3.2 and 2.1.4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest

from gradledger.merkle.flaw import Flaw
from gradledger.merkle.hashes import EMPTY_ROOT, HASH_BYTES, node_hash


def check_inclusion(
    hashed_leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> Flaw | None:
    """Check that a leaf lies at a place of a tree.

    Args:
        hashed_leaf: Leaf hash.
        index: Place of the leaf, from 0.
        size: Tree size.
        proof: Siblings from the leaf's up.
        root: Root hash at that size.

    Returns:
        None where the proof holds, else why it does not.
    """
    if _odd_length(hashed_leaf, root, *proof):
        return Flaw.HASH_LENGTH
    if not 0 <= index < size:
        return Flaw.INDEX
    place, last, found = index, size - 1, hashed_leaf
    for sibling in proof:
        if last == 0:
            return Flaw.TOO_LONG
        if place % 2 or place == last:
            found = node_hash(sibling, found)
            while not place % 2 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    if last:
        return Flaw.TOO_SHORT
    return None if compare_digest(found, root) else Flaw.ROOT


def check_consistency(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> Flaw | None:
    """Check that a tree begins with an older one.

    Args:
        old_size: Size of the older tree; 0 is extended by every tree, with an empty proof.
        new_size: Size of the newer tree.
        proof: Hashes as RFC 6962 orders them.
        old_root: Root hash at the old size.
        new_root: Root hash at the new size.

    Returns:
        None where the proof holds, else why it does not.
    """
    if _odd_length(old_root, new_root, *proof):
        return Flaw.HASH_LENGTH
    if not 0 <= old_size <= new_size:
        return Flaw.SIZES
    if old_size in {0, new_size}:
        return _check_trivial(old_size, new_size, proof, old_root, new_root)
    # Where the old tree is one perfect subtree, its root is the proof's first hash, left unsaid.
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    flaw, old_found, new_found = _climb(old_size, new_size, path)
    if flaw is None and not compare_digest(old_found, old_root):
        flaw = Flaw.OLD_ROOT
    if flaw is None and not compare_digest(new_found, new_root):
        flaw = Flaw.NEW_ROOT
    return flaw


def _climb(old_size: int, new_size: int, path: Sequence[bytes]) -> tuple[Flaw | None, bytes, bytes]:
    """Hash along a path; return what it leads to at both sizes."""
    if not path:
        return Flaw.TOO_SHORT, b"", b""
    place, last = old_size - 1, new_size - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    old_found = new_found = path[0]
    for sibling in path[1:]:
        if last == 0:
            return Flaw.TOO_LONG, old_found, new_found
        if place % 2 or place == last:
            old_found = node_hash(sibling, old_found)
            new_found = node_hash(sibling, new_found)
            while not place % 2 and place:
                place, last = place >> 1, last >> 1
        else:
            new_found = node_hash(new_found, sibling)
        place, last = place >> 1, last >> 1
    return Flaw.TOO_SHORT if last else None, old_found, new_found


def _check_trivial(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> Flaw | None:
    if proof:
        return Flaw.TOO_LONG
    if old_size == 0 and not compare_digest(old_root, EMPTY_ROOT):
        return Flaw.OLD_ROOT
    if old_size == new_size and not compare_digest(old_root, new_root):
        return Flaw.NEW_ROOT
    return None


def _odd_length(*hashes: bytes) -> bool:
    return any(len(item) != HASH_BYTES for item in hashes)
