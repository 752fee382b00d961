"""What ties the files of a run together.

The transparency log is a Merkle tree over sealed segments and small records, in public formats,
with signed checkpoints that witnesses may cosign. The manifest is the plain list of file digests,
written when a run is closed; it finds every accident, and every change by someone who does not
rewrite it.
"""

from gradledger.log.checkpoint import UNSIGNED_HEAD, Checkpoint
from gradledger.log.cosigning import Cosigner, CosignRequest, cosign_log
from gradledger.log.description import LOG_FOLDER, LogDescription
from gradledger.log.key_file import KEY_VARIABLE, key_from_environment, load_key, save_key
from gradledger.log.keys import KeyKind, SigningKey, VerifierKey
from gradledger.log.manifest import (
    DIFFERENCE_CODES,
    MANIFEST_NAME,
    PRIVATE_FOLDER,
    Difference,
    FileEntry,
    check_manifest,
    write_manifest,
)
from gradledger.log.note import Note, NoteSignature
from gradledger.log.quorum import QuorumPolicy
from gradledger.log.reader import LogReader
from gradledger.log.receipt import Receipt
from gradledger.log.witness import DirectoryWitness
from gradledger.log.writer import MAX_LEAF_BYTES, Log

__all__ = [
    "DIFFERENCE_CODES",
    "KEY_VARIABLE",
    "LOG_FOLDER",
    "MANIFEST_NAME",
    "MAX_LEAF_BYTES",
    "PRIVATE_FOLDER",
    "UNSIGNED_HEAD",
    "Checkpoint",
    "CosignRequest",
    "Cosigner",
    "Difference",
    "DirectoryWitness",
    "FileEntry",
    "KeyKind",
    "Log",
    "LogDescription",
    "LogReader",
    "Note",
    "NoteSignature",
    "QuorumPolicy",
    "Receipt",
    "SigningKey",
    "VerifierKey",
    "check_manifest",
    "cosign_log",
    "key_from_environment",
    "load_key",
    "save_key",
    "write_manifest",
]
