"""Every changed proof is rejected, and for the reason that its change has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gradledger.merkle import (
    EMPTY_ROOT,
    Flaw,
    check_consistency,
    check_inclusion,
    leaf_hash,
)

LEAVES = [b"leaf %d" % index for index in range(40)]
SHAPES = [
    (0, 1),
    (0, 2),
    (1, 2),
    (2, 3),
    (0, 5),
    (4, 5),
    (3, 7),
    (6, 7),
    (5, 8),
    (11, 13),
    (22, 40),
]


def flipped(item: bytes, bit: int = 0) -> bytes:
    return (
        bytes([item[0] ^ (1 << bit % 8)]) + item[1:]
        if bit < 8
        else item[:-1] + bytes([item[-1] ^ 1])
    )


def changed_hashes(proof: list[bytes]) -> Iterator[tuple[str, list[bytes], Flaw | None]]:
    """Changes of the list of hashes; None where the reason is a wrong root hash."""
    for place, item in enumerate(proof):
        for bit in (0, 7, 8):
            yield (
                f"bit {bit} of hash {place}",
                [*proof[:place], flipped(item, bit), *proof[place + 1 :]],
                None,
            )
        yield (
            f"hash {place} short",
            [*proof[:place], item[:-1], *proof[place + 1 :]],
            Flaw.HASH_LENGTH,
        )
        yield (
            f"hash {place} long",
            [*proof[:place], item + b"\0", *proof[place + 1 :]],
            Flaw.HASH_LENGTH,
        )
        yield f"hash {place} left out", [*proof[:place], *proof[place + 1 :]], Flaw.TOO_SHORT
        yield f"hash {place} twice", [*proof[:place], item, *proof[place:]], Flaw.TOO_LONG
        if place and proof[place - 1] != item:
            swapped = [*proof[: place - 1], item, proof[place - 1], *proof[place + 1 :]]
            yield f"hashes {place - 1} and {place} swapped", swapped, None
    yield "a hash behind", [*proof, bytes(32)], Flaw.TOO_LONG
    yield "a hash before", [bytes(32), *proof], Flaw.TOO_LONG
    if proof:
        yield "nothing", [], Flaw.TOO_SHORT


def inclusion_cases(reference) -> Iterator[tuple[str, Flaw | None, Flaw]]:
    for index, size in SHAPES:
        D = LEAVES[:size]
        leaf, proof, root = leaf_hash(D[index]), reference.path(index, D), reference.root(D)
        assert check_inclusion(leaf, index, size, proof, root) is None
        name = f"inclusion {index} of {size}: "
        for what, changed, reason in changed_hashes(proof):
            yield (
                name + what,
                check_inclusion(leaf, index, size, changed, root),
                reason or Flaw.ROOT,
            )
        for what, other in (("leaf", flipped(leaf)), ("root as leaf", root)):
            if other != leaf and not (size == 1 and what == "root as leaf"):
                found = check_inclusion(other, index, size, proof, root)
                yield name + what, found, Flaw.ROOT
        yield name + "root", check_inclusion(leaf, index, size, proof, flipped(root)), Flaw.ROOT
        yield name + "empty root", check_inclusion(leaf, index, size, proof, EMPTY_ROOT), Flaw.ROOT
        yield (
            name + "short root",
            check_inclusion(leaf, index, size, proof, root[:31]),
            Flaw.HASH_LENGTH,
        )
        yield name + "short leaf", check_inclusion(b"", index, size, proof, root), Flaw.HASH_LENGTH
        for other in (-1, size, size + 1, 2 * size, 1 << 63):
            yield (
                f"{name}index {other}",
                check_inclusion(leaf, other, size, proof, root),
                Flaw.INDEX,
            )
        for other in {index ^ 1, index ^ 2, index + 1, index - 1} - {index}:
            if 0 <= other < size:
                yield (
                    f"{name}index {other}",
                    check_inclusion(leaf, other, size, proof, root),
                    _length(len(reference.path(other, D)), len(proof), Flaw.ROOT),
                )
        for other in (0, index):
            yield (
                f"{name}size {other}",
                check_inclusion(leaf, index, other, proof, root),
                Flaw.INDEX,
            )


def _length(wanted: int, given: int, otherwise: Flaw) -> Flaw:
    return Flaw.TOO_LONG if given > wanted else Flaw.TOO_SHORT if given < wanted else otherwise


def consistency_cases(reference) -> Iterator[tuple[str, Flaw | None, set[Flaw]]]:
    roots = {Flaw.OLD_ROOT, Flaw.NEW_ROOT}
    for old, new in [
        (1, 2),
        (1, 3),
        (2, 3),
        (3, 4),
        (4, 7),
        (6, 7),
        (6, 8),
        (7, 8),
        (8, 13),
        (21, 40),
    ]:
        proof = reference.subproof(old, LEAVES[:new])
        first, second = reference.root(LEAVES[:old]), reference.root(LEAVES[:new])
        assert check_consistency(old, new, proof, first, second) is None
        name = f"consistency {old} to {new}: "
        for what, changed, reason in changed_hashes(proof):
            found = check_consistency(old, new, changed, first, second)
            yield name + what, found, {reason} if reason else roots
        other_old = check_consistency(old, new, proof, flipped(first), second)
        perfect = not old & (old - 1)  # then the old root is the first hash of both climbs
        yield name + "old root", other_old, {Flaw.NEW_ROOT if perfect else Flaw.OLD_ROOT}
        other_new = check_consistency(old, new, proof, first, flipped(second))
        yield name + "new root", other_new, {Flaw.NEW_ROOT}
        yield name + "roots swapped", check_consistency(old, new, proof, second, first), roots
        yield (
            name + "short root",
            check_consistency(old, new, proof, first[:9], second),
            {Flaw.HASH_LENGTH},
        )
        yield (
            name + "sizes swapped",
            check_consistency(new, old, proof, first, second),
            {Flaw.SIZES},
        )
        yield name + "negative", check_consistency(-1, new, proof, first, second), {Flaw.SIZES}
        yield name + "old size 0", check_consistency(0, new, proof, first, second), {Flaw.TOO_LONG}
        yield name + "no old leaf", check_consistency(0, new, [], first, second), {Flaw.OLD_ROOT}
        yield name + "same size", check_consistency(new, new, proof, first, second), {Flaw.TOO_LONG}
        yield (
            name + "same size, two roots",
            check_consistency(new, new, [], first, second),
            {Flaw.NEW_ROOT},
        )


def test_changed_inclusion_proofs(reference) -> None:
    cases = list(inclusion_cases(reference))
    assert [case for case in cases if case[1] is not case[2]] == []
    assert len(cases) >= 250


def test_changed_consistency_proofs(reference) -> None:
    cases = list(consistency_cases(reference))
    assert [case for case in cases if case[1] not in case[2]] == []
    assert len(cases) >= 250


@pytest.mark.parametrize("size", [2**40 + 1, 2**63 - 1])
def test_sizes_far_beyond_memory(size: int) -> None:
    """A proof of any tree size is at most 63 hashes and is checked in as many steps."""
    proof = [bytes(32)] * 63
    assert check_inclusion(bytes(32), 0, size, proof, bytes(32)) in {Flaw.TOO_LONG, Flaw.ROOT}
    assert check_inclusion(bytes(32), 0, size, proof[:9], bytes(32)) is Flaw.TOO_SHORT
