"""What ties the files of a run together.

The transparency log is a Merkle tree over sealed segments and small records, in public formats,
with signed checkpoints that witnesses may cosign. The manifest is the plain list of file digests,
written when a run is closed; it finds every accident, and every change by someone who does not
rewrite it.
"""

from gradledger.log.absence import AbsenceReceipt, prove_absence
from gradledger.log.checkpoint import UNSIGNED_HEAD, Checkpoint
from gradledger.log.commitments import COMMITMENTS_FOLDER, read_commitments, seal_commitments
from gradledger.log.cosigning import (
    Cosigner,
    CosignRequest,
    RefusedError,
    cosign_log,
    refusal,
)
from gradledger.log.description import DESCRIPTION_NAME, LOG_FOLDER, LogDescription
from gradledger.log.fork import FORK_RECORD, objection_to, parse_fork, write_fork
from gradledger.log.fork_source import describe_fork
from gradledger.log.hashed_rows import HashedRows, hash_segment
from gradledger.log.head import CHECKPOINT_NAME, HISTORY_FOLDER, UNSIGNED_NAME
from gradledger.log.key_file import (
    KEY_VARIABLE,
    key_from_environment,
    load_key,
    save_key,
    signing_key,
)
from gradledger.log.keys import KeyKind, SigningKey, VerifierKey
from gradledger.log.last_signed import LAST_SIGNED_NAME, LastSigned
from gradledger.log.manifest import (
    DIFFERENCE_CODES,
    MANIFEST_NAME,
    PRIVATE_FOLDER,
    Difference,
    FileEntry,
    check_manifest,
    file_entry,
    list_files,
    manifest_entries,
    write_manifest,
)
from gradledger.log.note import Note, NoteSignature
from gradledger.log.quorum import QuorumPolicy
from gradledger.log.reader import LogReader
from gradledger.log.receipt import Receipt
from gradledger.log.rotation import rotate_log
from gradledger.log.rows import RowReceipt, row_receipt, segment_leaf
from gradledger.log.run_log import RunLog, describe_log, finish_log, has_log, place_before
from gradledger.log.segment_rows import SegmentRows
from gradledger.log.tile_proof import check_tile_files, tile_files
from gradledger.log.waiting import WAITING_NAME, parse_waiting
from gradledger.log.witness import DirectoryWitness, last_witnessed
from gradledger.log.witness_client import HttpWitness, is_url, witnesses_at, witnesses_of
from gradledger.log.witness_service import WitnessService
from gradledger.log.writer import MAX_LEAF_BYTES, Log

__all__ = [
    "CHECKPOINT_NAME",
    "COMMITMENTS_FOLDER",
    "DESCRIPTION_NAME",
    "DIFFERENCE_CODES",
    "FORK_RECORD",
    "HISTORY_FOLDER",
    "KEY_VARIABLE",
    "LAST_SIGNED_NAME",
    "LOG_FOLDER",
    "MANIFEST_NAME",
    "MAX_LEAF_BYTES",
    "PRIVATE_FOLDER",
    "UNSIGNED_HEAD",
    "UNSIGNED_NAME",
    "WAITING_NAME",
    "AbsenceReceipt",
    "Checkpoint",
    "CosignRequest",
    "Cosigner",
    "Difference",
    "DirectoryWitness",
    "FileEntry",
    "HashedRows",
    "HttpWitness",
    "KeyKind",
    "LastSigned",
    "Log",
    "LogDescription",
    "LogReader",
    "Note",
    "NoteSignature",
    "QuorumPolicy",
    "Receipt",
    "RefusedError",
    "RowReceipt",
    "RunLog",
    "SegmentRows",
    "SigningKey",
    "VerifierKey",
    "WitnessService",
    "check_manifest",
    "check_tile_files",
    "cosign_log",
    "describe_fork",
    "describe_log",
    "file_entry",
    "finish_log",
    "has_log",
    "hash_segment",
    "is_url",
    "key_from_environment",
    "last_witnessed",
    "list_files",
    "load_key",
    "manifest_entries",
    "objection_to",
    "parse_fork",
    "parse_waiting",
    "place_before",
    "prove_absence",
    "read_commitments",
    "refusal",
    "rotate_log",
    "row_receipt",
    "save_key",
    "seal_commitments",
    "segment_leaf",
    "signing_key",
    "tile_files",
    "witnesses_at",
    "witnesses_of",
    "write_fork",
    "write_manifest",
]
