"""Merkle trees of RFC 6962 as pure functions over hashes. Standard library only.

The words are those of the specifications: leaf, leaf hash, tree size, root hash, inclusion proof,
consistency proof, tile. Nothing here reads or writes a file.
"""

from gradledger.merkle.flaw import Flaw
from gradledger.merkle.frontier import Frontier
from gradledger.merkle.hashes import (
    EMPTY_ROOT,
    HASH_BYTES,
    joined_root,
    leaf_hash,
    leaf_hashes,
    node_hash,
    root_hash,
)
from gradledger.merkle.proofs import NodeReader, consistency_proof, inclusion_proof, tree_root
from gradledger.merkle.root_stream import RootStream
from gradledger.merkle.sorted_tree import (
    AbsenceProof,
    Neighbour,
    absence_proof,
    check_absence,
    first_disorder,
)
from gradledger.merkle.tiles import (
    ENTRIES_LEVEL,
    TILE_WIDTH,
    TileId,
    decode_bundle,
    encode_bundle,
    join_tile,
    new_tiles,
    node_reader,
    split_tile,
    tiles_of,
)
from gradledger.merkle.verification import check_consistency, check_inclusion

__all__ = [
    "EMPTY_ROOT",
    "ENTRIES_LEVEL",
    "HASH_BYTES",
    "TILE_WIDTH",
    "AbsenceProof",
    "Flaw",
    "Frontier",
    "Neighbour",
    "NodeReader",
    "RootStream",
    "TileId",
    "absence_proof",
    "check_absence",
    "check_consistency",
    "check_inclusion",
    "consistency_proof",
    "decode_bundle",
    "encode_bundle",
    "first_disorder",
    "inclusion_proof",
    "join_tile",
    "joined_root",
    "leaf_hash",
    "leaf_hashes",
    "new_tiles",
    "node_hash",
    "node_reader",
    "root_hash",
    "split_tile",
    "tiles_of",
    "tree_root",
]
