from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.errors import LogError
from gradledger.merkle import (
    AbsenceProof,
    Flaw,
    absence_proof,
    check_absence,
    first_disorder,
    leaf_hash,
    root_hash,
)


def digest(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


VALUES = sorted(digest(number) for number in range(25))
ROOT = root_hash(map(leaf_hash, VALUES))


@given(st.sets(st.integers(0, 500), max_size=40), st.integers(0, 500))
def test_absence_is_proved_for_what_is_absent_only(numbers: set[int], number: int) -> None:
    values = sorted(map(digest, numbers))
    root = root_hash(map(leaf_hash, values))
    if number in numbers:
        with pytest.raises(LogError, match="L171"):
            absence_proof(values, digest(number))
    else:
        proof = absence_proof(values, digest(number))
        assert check_absence(digest(number), len(values), root, proof) is None


@pytest.mark.parametrize("value", [bytes(32), b"\xff" * 32])
def test_absence_beyond_the_ends(value: bytes) -> None:
    proof = absence_proof(VALUES, value)
    assert (proof.before is None) != (proof.after is None)
    assert check_absence(value, len(VALUES), ROOT, proof) is None


def test_nothing_can_be_shown_absent_that_is_present() -> None:
    """Whatever two leaves are shown around a leaf, the proof fails."""
    honest = [absence_proof(VALUES, bytes([value[0]]) + bytes(31)) for value in VALUES]
    sides = [side for proof in honest for side in (proof.before, proof.after)] + [None]
    for value in VALUES:
        for before in sides:
            for after in sides:
                assert check_absence(value, len(VALUES), ROOT, AbsenceProof(before, after))


def test_changed_proofs_name_their_flaw() -> None:
    value = digest(1000)
    good = absence_proof(VALUES, value)
    before, after = good.before, good.after
    assert before
    assert after
    far = absence_proof(VALUES, b"\xff" * 32).before
    other = replace(before, value=bytes(32))
    short = replace(before, value=before.value[:31])
    cut = replace(before, proof=before.proof[:-1])
    moved = replace(before, index=before.index - 1), replace(after, index=after.index - 1)
    size = len(VALUES)
    cases = [
        ((value, size, ROOT, AbsenceProof(None, after)), Flaw.NEIGHBOUR),
        ((value, size, ROOT, AbsenceProof(before, None)), Flaw.NEIGHBOUR),
        ((value, size, ROOT, AbsenceProof(before, far)), Flaw.NEIGHBOUR),
        ((value, size, ROOT, AbsenceProof(after, before)), Flaw.NEIGHBOUR),
        ((value, size, ROOT, AbsenceProof(None, None)), Flaw.NEIGHBOUR),
        ((b"\xff" * 32, size, ROOT, good), Flaw.NEIGHBOUR),
        ((value, size, ROOT, AbsenceProof(other, after)), Flaw.ROOT),
        ((value, size, ROOT, AbsenceProof(short, after)), Flaw.HASH_LENGTH),
        ((value, size, ROOT, AbsenceProof(cut, after)), Flaw.TOO_SHORT),
        ((value, size, digest(0), good), Flaw.ROOT),
        ((value, size, ROOT[:5], good), Flaw.HASH_LENGTH),
        ((value[:5], size, ROOT, good), Flaw.HASH_LENGTH),
        ((value, 0, ROOT, good), Flaw.INDEX),
        ((value, 0, ROOT, AbsenceProof(None, None)), Flaw.ROOT),
        ((before.value, size, ROOT, good), Flaw.PRESENT),
    ]
    assert [check_absence(*arguments) for arguments, _ in cases] == [flaw for _, flaw in cases]
    assert check_absence(value, size, ROOT, AbsenceProof(*moved)) is not None


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ([], None),
        (VALUES, None),
        ([VALUES[1], VALUES[0]], 1),
        ([VALUES[0], VALUES[0]], 1),
        ([b"short"], 0),
    ],
)
def test_disorder_is_found(values: list[bytes], place: int | None) -> None:
    assert first_disorder(values) == place
    if place is not None:
        with pytest.raises(LogError, match="L171"):
            absence_proof(values, digest(1))
