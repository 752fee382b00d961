"""Roots and proofs from tiles are those of the RFC's recursion; changed proofs are all rejected.

Caveat: every (m, n) up to 300 and random ones up to 70,000 leaves, inclusion and consistency; the
recursion and the changes of proofs are those of ``tests/unit/merkle``. Golden roots are those of
the eight leaves that certificate transparency tests with.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from benchmarks.figure import Figure

from gradledger.merkle import (
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_reader,
    root_hash,
    tree_root,
)

LIMIT, LARGEST, NUM_LARGE, SEED = 300, 70_000, 60, 6962
_TESTS = Path(__file__).resolve().parent.parent / "tests" / "unit" / "merkle"

#: Leaves and roots for n = 0 to 8, as certificate-transparency-go and others have them.
LEAVES = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f")  # fmt: skip
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def measure(limit: int = LIMIT, num_large: int = NUM_LARGE) -> list[Figure]:
    """Count what is equal, and which changed proof is not rejected for its reason."""
    proofs, mutations = _load("test_proofs"), _load("test_mutations")
    equal, unequal = _compare(proofs, limit, num_large)
    golden = sum(
        root_hash([leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size]]).hex() == root
        for size, root in enumerate(ROOTS)
    )
    plain = _load("conftest")
    reference = SimpleNamespace(root=plain.root, path=plain.path, subproof=plain.subproof)
    cases = [
        (name, found is reason) for name, found, reason in mutations.inclusion_cases(reference)
    ]
    cases += [(n, found in reasons) for n, found, reasons in mutations.consistency_cases(reference)]
    wrong = [name for name, rejected in cases if not rejected]
    said = "; ".join(wrong[:5]) or "none"
    number = float(len(cases))
    return [
        Figure("log.tree_golden", float(golden), "count", "equal", float(len(ROOTS))),
        Figure("log.tree_equal", float(equal), "count", "higher", 2.0 * limit * (limit + 1) / 2),
        Figure("log.tree_unequal", float(unequal), "count", "equal", 0.0),
        Figure("log.proofs_rejected", number - len(wrong), "count", "higher", 400.0),
        Figure("log.proofs_accepted", float(len(wrong)), "count", "equal", 0.0, caveat=said),
    ]


def _compare(proofs: ModuleType, limit: int, num_large: int) -> tuple[int, int]:
    tiles, reference, counts = proofs.Tiles(LARGEST), proofs.Reference(), [0, 0]
    for m, n in _pairs(limit, num_large):
        read_node, root = node_reader(n, tiles), reference.root(0, n)
        fits = tree_root(n, read_node) == root
        inclusion, leaf = inclusion_proof(m, n, read_node), leaf_hash(b"%d" % m)
        fits &= inclusion == reference.path(m, 0, n)
        fits &= check_inclusion(leaf, m, n, inclusion, root) is None
        counts[not fits] += 1
        old = m + 1
        consistency = consistency_proof(old, n, read_node)
        fits = consistency == reference.subproof(old, 0, n, True)  # noqa: FBT003 - as the RFC has it
        fits &= check_consistency(old, n, consistency, reference.root(0, old), root) is None
        counts[not fits] += 1
    return counts[0], counts[1]


def _pairs(limit: int, num_large: int) -> Iterator[tuple[int, int]]:
    for n in range(1, limit + 1):
        yield from ((m, n) for m in range(n))
    draw = random.Random(SEED)  # noqa: S311 - repeatable
    sizes = [65_535, 65_536, 65_537, LARGEST]
    for n in (*sizes, *(draw.randrange(limit, LARGEST) for _ in range(num_large))):
        yield from ((m, n) for m in {0, n - 1, *(draw.randrange(n) for _ in range(10))})


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"merkle_{name}", _TESTS / f"{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(_TESTS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
