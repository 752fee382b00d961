"""Why a proof is rejected. A bad proof is an answer, not an error, so nothing is raised."""

from __future__ import annotations

from enum import StrEnum


class Flaw(StrEnum):
    """Named reasons; the value is what a finding shows."""

    HASH_LENGTH = "a hash is not 32 bytes long"
    INDEX = "the index is not below the tree size"
    NEIGHBOUR = "the neighbours are not adjacent leaves around the value"
    NEW_ROOT = "the proof does not lead to the new root hash"
    OLD_ROOT = "the proof does not lead to the old root hash"
    PRESENT = "the value is itself a leaf"
    ROOT = "the proof does not lead to the root hash"
    SIZES = "the old tree size is above the new one"
    TOO_LONG = "the proof has more hashes than the sizes allow"
    TOO_SHORT = "the proof has fewer hashes than the sizes ask for"
