"""What ties the files of a run together.

Today that is a manifest: the digest of every file, written when a run is closed. It finds every
accident and every change by someone who does not rewrite the manifest too. The transparency log
(a Merkle tree over segments and records, with signed checkpoints) will live in this room, and its
leaves commit to the same file digests.
"""

from gradledger.log.manifest import (
    DIFFERENCE_CODES,
    MANIFEST_NAME,
    PRIVATE_FOLDER,
    Difference,
    FileEntry,
    check_manifest,
    write_manifest,
)

__all__ = [
    "DIFFERENCE_CODES",
    "MANIFEST_NAME",
    "PRIVATE_FOLDER",
    "Difference",
    "FileEntry",
    "check_manifest",
    "write_manifest",
]
