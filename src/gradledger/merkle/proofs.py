"""Root hashes, inclusion proofs and consistency proofs of a tree whose nodes can be read.

Every hash that a proof needs is the root of a range of leaves that begins at a multiple of a power
of two at least as large as the range; such a range is a row of perfect subtrees of falling height.

Source:
    RFC 6962, section 2.1.1 and 2.1.2.
"""

from __future__ import annotations

from collections.abc import Callable

from gradledger.errors import LogError
from gradledger.merkle.hashes import EMPTY_ROOT, node_hash

#: (height, place) -> root hash of the perfect subtree over leaves place << height and following.
NodeReader = Callable[[int, int], bytes]


def tree_root(size: int, read_node: NodeReader) -> bytes:
    """Return the root hash of the first ``size`` leaves."""
    return _range_root(0, size, read_node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read_node: NodeReader) -> list[bytes]:
    """Return the inclusion proof of a leaf: siblings from the leaf's up to the root's child.

    Args:
        index: Place of the leaf, from 0.
        size: Tree size, above ``index``.
        read_node: Gives perfect subtrees within the first ``size`` leaves.

    Raises:
        LogError: There is no such leaf. Code L122.
    """
    if not 0 <= index < size:
        raise LogError(
            "L122",
            observed=f"index {index}",
            expected=f"0 to {size - 1}" if size else "a log with leaves",
            where=f"tree of size {size}",
        )
    start, stop, ranges = 0, size, []
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    return [_range_root(*ends, read_node) for ends in reversed(ranges)]


def consistency_proof(old_size: int, new_size: int, read_node: NodeReader) -> list[bytes]:
    """Return the proof that the tree of ``new_size`` begins with that of ``old_size``.

    Empty where the sizes agree, and for the old size 0, which every tree extends.

    Raises:
        LogError: The old size is above the new one. Code L122.
    """
    if not 0 <= old_size <= new_size:
        raise LogError(
            "L122",
            observed=f"the old size {old_size}",
            expected=f"0 to {new_size}",
            where=f"tree of size {new_size}",
        )
    if old_size in {0, new_size}:
        return []
    start, stop, ranges = 0, new_size, []
    while old_size != stop:
        middle = start + _split(stop - start)
        if old_size <= middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start:  # the old root itself is known to the verifier
        ranges.append((start, stop))
    return [_range_root(*ends, read_node) for ends in reversed(ranges)]


def _split(count: int) -> int:
    """Largest power of two below ``count`` (two or more)."""
    return 1 << (count - 1).bit_length() - 1


def _range_root(start: int, stop: int, read_node: NodeReader) -> bytes:
    parts = []
    while start < stop:
        height = (stop - start).bit_length() - 1
        parts.append(read_node(height, start >> height))
        start += 1 << height
    root = parts.pop()
    while parts:
        root = node_hash(parts.pop(), root)
    return root
