"""Proofs that a value is not in a set: two adjacent leaves of a sorted tree around it.

A log has no proof of absence, since its leaves lie in the order of arrival. A tree over the same
values in ascending order has one. It rests on the order: who holds all values checks that once
(``first_disorder``), and the size must come from the same trusted place as the root hash.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from gradledger.errors import LogError
from gradledger.merkle.flaw import Flaw
from gradledger.merkle.hashes import EMPTY_ROOT, HASH_BYTES, leaf_hash, root_hash
from gradledger.merkle.proofs import inclusion_proof
from gradledger.merkle.verification import check_inclusion


@dataclass(frozen=True)
class Neighbour:
    """A leaf beside the place where a value would be.

    Attributes:
        index: Place in the sorted tree.
        value: The leaf, 32 bytes.
        proof: Its inclusion proof.
    """

    index: int
    value: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True)
class AbsenceProof:
    """The leaves on both sides of a value; None beyond the first or the last leaf."""

    before: Neighbour | None
    after: Neighbour | None


def first_disorder(values: Sequence[bytes]) -> int | None:
    """Return the first place whose value is not above the one before it, or not 32 bytes long."""
    for place, value in enumerate(values):
        if len(value) != HASH_BYTES or (place and value <= values[place - 1]):
            return place
    return None


def absence_proof(values: Sequence[bytes], value: bytes) -> AbsenceProof:
    """Prove that a value is not among sorted values.

    Args:
        values: Distinct values of 32 bytes, ascending.
        value: The value that is not there.

    Raises:
        LogError: The value is there, or the values are not in order. Code L171.
    """
    disorder = first_disorder(values)
    if disorder is not None or len(value) != HASH_BYTES:
        odd = "the value asked for" if disorder is None else f"place {disorder} of the tree"
        raise _impossible(f"disorder or another length at {odd}", "ascending 32-byte values")
    place = bisect_left(values, value)
    if place < len(values) and values[place] == value:
        raise _impossible(f"the value at place {place}", "a value that is not among the leaves")
    hashes = [leaf_hash(item) for item in values]

    def read_node(height: int, number: int) -> bytes:
        return root_hash(hashes[number << height : (number + 1) << height])

    def neighbour(index: int) -> Neighbour | None:
        if not 0 <= index < len(values):
            return None
        proof = inclusion_proof(index, len(values), read_node)
        return Neighbour(index, values[index], tuple(proof))

    return AbsenceProof(neighbour(place - 1), neighbour(place))


def check_absence(value: bytes, size: int, root: bytes, proof: AbsenceProof) -> Flaw | None:
    """Check that a value is not a leaf of a sorted tree.

    Args:
        value: 32 bytes.
        size: Leaves of the sorted tree, from a trusted record.
        root: Its root hash, from the same record.
        proof: The neighbours.

    Returns:
        None where the proof holds, else why it does not.
    """
    if len(value) != HASH_BYTES or len(root) != HASH_BYTES:
        return Flaw.HASH_LENGTH
    before, after = proof.before, proof.after
    if size == 0:
        empty = Flaw.INDEX if before or after else Flaw.ROOT
        return None if proof == AbsenceProof(None, None) and root == EMPTY_ROOT else empty
    left = before.index if before else -1
    right = after.index if after else size
    if right != left + 1 or not -1 <= left < size:
        return Flaw.NEIGHBOUR
    flaws = (
        _check_side(side, value, size, root, below=side is before)
        for side in (before, after)
        if side
    )
    return next(filter(None, flaws), None)


def _check_side(
    side: Neighbour, value: bytes, size: int, root: bytes, *, below: bool
) -> Flaw | None:
    if len(side.value) != HASH_BYTES:
        return Flaw.HASH_LENGTH
    if side.value == value:
        return Flaw.PRESENT
    if below != (side.value < value):
        return Flaw.NEIGHBOUR
    return check_inclusion(leaf_hash(side.value), side.index, size, side.proof, root)


def _impossible(observed: str, expected: str) -> LogError:
    return LogError("L171", observed=observed, expected=expected, where="absence_proof")
