"""Bundles: what an auditor or rights holder is handed, with all that checking it needs.

The rows and their proofs are in one receipt. Around it lie the same leaves and proofs in the public
file formats, the tiles above them, the checkpoint with its signatures, the policies, and a text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.canon import canonical_json, parse_json, read_leaf
from gradledger.errors import GradledgerError, LogError
from gradledger.evidence.logged import LoggedRun
from gradledger.evidence.receipt import EvidenceReceipt, malformed
from gradledger.evidence.text import bundle_text
from gradledger.log import CHECKPOINT_NAME, DESCRIPTION_NAME, UNSIGNED_NAME, tile_files
from gradledger.schema import PolicyLeaf
from gradledger.segment import cannot_read

BUNDLE_FORMAT: Final = "gradledger.bundle/1"
INDEX_NAME: Final = "bundle.json"
RECEIPT_NAME: Final = "receipt.json"
TEXT_NAME: Final = "README.md"
LEAF_SUFFIX: Final = ".leaf"


@dataclass(frozen=True)
class BundleIndex:
    """The list of a bundle's files.

    Attributes:
        files: Name -> length and SHA-256.
    """

    files: dict[str, tuple[int, str]]

    @staticmethod
    def of(files: dict[str, bytes]) -> BundleIndex:
        """Return the list of some files."""
        return BundleIndex(
            {
                name: (len(content), hashlib.sha256(content).hexdigest())
                for name, content in files.items()
                if name != INDEX_NAME
            }
        )

    def __bytes__(self) -> bytes:
        """Return the canonical JSON file."""
        listed = [
            {"num_bytes": num_bytes, "path": name, "sha256": digest}
            for name, (num_bytes, digest) in sorted(self.files.items())
        ]
        return canonical_json({"files": listed, "format": BUNDLE_FORMAT}) + b"\n"

    @staticmethod
    def parse(content: bytes) -> BundleIndex:
        """Read the list.

        Raises:
            LogError: It is malformed. Code L161.
        """
        try:
            record: Any = parse_json(content, INDEX_NAME)
            found = BundleIndex(
                {item["path"]: (item["num_bytes"], item["sha256"]) for item in record["files"]}
            )
            same = bytes(found) == content
        except (GradledgerError, KeyError, TypeError, ValueError) as error:
            raise malformed(str(error).splitlines()[0][:200], BUNDLE_FORMAT) from error
        if not same:
            raise malformed("another spelling", BUNDLE_FORMAT)
        return found


def bundle_files(run_dir: Path, receipt: EvidenceReceipt, selection: str) -> dict[str, bytes]:
    """Return the files of a bundle.

    Args:
        run_dir: The run.
        receipt: The rows that are handed over.
        selection: What was selected, in words.

    Raises:
        LogError: The log or a policy is not as it should be (L132, L182).
        StorageError: A file cannot be read. Code S113.
    """
    logged = LoggedRun(run_dir)
    description, head = logged.reader.description, receipt.checkpoint
    files = {
        RECEIPT_NAME: bytes(receipt),
        f"log/{DESCRIPTION_NAME}": bytes(description),
        head_name(signed=head.signed): bytes(head),
        **leaf_files(receipt),
        **policy_files(Path(run_dir), receipt),
    }
    tiles = tile_files(logged.reader, [leaf.receipt.index for leaf in receipt.leaves])
    files |= {f"log/{name}": content for name, content in tiles.items()}
    files[TEXT_NAME] = bundle_text(receipt, selection, description.keys).encode()
    return {INDEX_NAME: bytes(BundleIndex.of(files)), **files}


def head_name(*, signed: bool) -> str:
    """Return the name of the checkpoint's file in a bundle."""
    return f"log/{CHECKPOINT_NAME if signed else UNSIGNED_NAME}"


def leaf_files(receipt: EvidenceReceipt) -> dict[str, bytes]:
    """Return every leaf, and its receipt in the public format, as files of a bundle."""
    files = {}
    for item in receipt.leaves:
        stem = f"leaves/{item.receipt.index}"
        files[f"{stem}{LEAF_SUFFIX}"] = item.leaf
        files[f"{stem}{item.receipt.suffix}"] = bytes(item.receipt)
    return files


def policy_names(receipt: EvidenceReceipt) -> dict[str, tuple[int, str]]:
    """Return the files of the policies that a receipt's leaves commit to: name, length, digest.

    Raises:
        InputError: A leaf is malformed. Code I122.
    """
    leaves: Sequence[Any] = [read_leaf(item.leaf) for item in receipt.leaves]
    return {
        file.path: (file.num_bytes, file.sha256)
        for leaf in leaves
        if isinstance(leaf, PolicyLeaf)
        for file in leaf.files
    }


def policy_files(run_dir: Path, receipt: EvidenceReceipt) -> dict[str, bytes]:
    """Return the texts of the policies that a receipt's leaves commit to."""
    files = {}
    for name, (num_bytes, digest) in policy_names(receipt).items():
        try:
            content = (run_dir / name).read_bytes()
        except OSError as error:
            raise cannot_read(run_dir / name, error) from error
        if (len(content), hashlib.sha256(content).hexdigest()) != (num_bytes, digest):
            raise LogError(
                "L182",
                observed=f"{len(content)} bytes with another digest",
                expected=f"{num_bytes} bytes, SHA-256 {digest}",
                where=str(run_dir / name),
                hint="verify the run, and restore the policy from a copy",
            )
        files[name] = content
    return files
