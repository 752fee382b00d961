"""Receipts of rows: what somebody is handed to check a part of a run, without the run.

A receipt holds rows in their canonical bytes, the proof from each to the inner root of its
segment, the leaves with those roots, and the proof from each leaf to one checkpoint. The texts of a
row travel beside it, since rows hold their digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from gradledger.canon import RowLayout, canonical_json, decode_row, parse_json
from gradledger.errors import GradledgerError, LogError
from gradledger.log import Checkpoint, Receipt, RowReceipt, VerifierKey

RECEIPT_FORMAT: Final = "gradledger.receipt/1"
_MAX_BYTES: Final = 1 << 30
_HASH_DIGITS: Final = 64

Columns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ProvedLeaf:
    """A leaf of the log with its receipt.

    Attributes:
        leaf: Bytes of the leaf.
        receipt: Its receipt.
        columns: Names and types of the segment's columns; None for leaves of other kinds.
    """

    leaf: bytes
    receipt: Receipt
    columns: Columns | None = None


@dataclass(frozen=True)
class ProvedRow:
    """A row with its proof.

    Attributes:
        leaf: Which of the receipt's leaves its segment is.
        index: Place of the row in the segment.
        row: Canonical bytes.
        proof: Inclusion proof from the row to the inner root.
        texts: Column -> text that the row's digest stands for.
    """

    leaf: int
    index: int
    row: bytes
    proof: tuple[bytes, ...]
    texts: dict[str, str]


@dataclass(frozen=True)
class EvidenceReceipt:
    """Rows and leaves of one run under one checkpoint.

    Attributes:
        run_id: The run.
        subject: What the rows are about; see ``subject_objections``.
        verifier_keys: Keys that the log names as its own; a convenience, not an anchor.
        leaves: Leaves, by ascending index.
        rows: Rows, by leaf and place.
    """

    run_id: str
    subject: dict[str, Any]
    verifier_keys: tuple[VerifierKey, ...]
    leaves: tuple[ProvedLeaf, ...]
    rows: tuple[ProvedRow, ...]

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that the first leaf's receipt leads to."""
        return self.leaves[0].receipt.checkpoint

    @cached_property
    def row_receipts(self) -> list[RowReceipt]:
        """The rows, each as a receipt of its own."""
        return [
            RowReceipt(
                self.leaves[row.leaf].columns or (),
                row.row,
                row.index,
                row.proof,
                self.leaves[row.leaf].leaf,
                self.leaves[row.leaf].receipt,
            )
            for row in self.rows
        ]

    def values(self, row: ProvedRow) -> dict[str, Any]:
        """Return the values of a row; texts come as their digests.

        Raises:
            InputError: The row does not fit its columns. Code I121.
        """
        return decode_row(RowLayout(self.leaves[row.leaf].columns or ()), row.row)

    def __bytes__(self) -> bytes:
        """Return the canonical JSON file."""
        record = {
            "format": RECEIPT_FORMAT,
            "leaves": [
                {
                    "columns": leaf.columns,
                    "leaf": leaf.leaf.decode(),
                    "receipt": str(leaf.receipt),
                }
                for leaf in self.leaves
            ],
            "rows": [
                {
                    "leaf": row.leaf,
                    "proof": [item.hex() for item in row.proof],
                    "row": row.row.hex(),
                    "row_index": row.index,
                    "texts": row.texts,
                }
                for row in self.rows
            ],
            "run_id": self.run_id,
            "subject": self.subject,
            "verifier_keys": [str(key) for key in self.verifier_keys],
        }
        return canonical_json(record) + b"\n"

    @staticmethod
    def parse(content: bytes) -> EvidenceReceipt:
        """Read a receipt.

        Raises:
            LogError: The receipt (L161), a key (L101) or a checkpoint in it (L111, L113) is
                malformed.
        """
        if len(content) > _MAX_BYTES:
            raise malformed(f"{len(content)} bytes", RECEIPT_FORMAT)
        try:
            found = _from_record(parse_json(content, "receipt"))
            same = bytes(found) == content
        except LogError:
            raise
        except (GradledgerError, KeyError, TypeError, ValueError, AttributeError) as error:
            shown = str(error).splitlines()
            raise malformed(shown[0][:200] if shown else "nothing", RECEIPT_FORMAT) from error
        if not same or not found.leaves:
            raise malformed("another spelling, or no leaf", RECEIPT_FORMAT)
        return found


def malformed(observed: str, expected: str) -> LogError:
    """Return the error for bytes that are no piece of evidence."""
    return LogError(
        "L161",
        observed=observed,
        expected=f"a {expected} as it was given out",
        where="receipt",
        hint="take the file byte for byte as it was given out",
    )


def _from_record(record: Any) -> EvidenceReceipt:
    if record["format"] != RECEIPT_FORMAT or not isinstance(record["subject"], dict):
        message = f"not a {RECEIPT_FORMAT}"
        raise ValueError(message)
    leaves = tuple(
        ProvedLeaf(
            item["leaf"].encode(),
            Receipt.parse(item["receipt"].encode()),
            None if item["columns"] is None else _columns(item["columns"]),
        )
        for item in record["leaves"]
    )
    rows = tuple(_row(item, len(leaves)) for item in record["rows"])
    keys = tuple(VerifierKey.parse(text) for text in record["verifier_keys"])
    return EvidenceReceipt(str(record["run_id"]), record["subject"], keys, leaves, rows)


def _columns(pairs: Any) -> Columns:
    return tuple((str(name), str(kind)) for name, kind in pairs)


def _row(item: Any, num_leaves: int) -> ProvedRow:
    leaf, index = item["leaf"], item["row_index"]
    if type(leaf) is not int or type(index) is not int or not 0 <= leaf < num_leaves or index < 0:
        message = "a row of no leaf"
        raise ValueError(message)
    proof = tuple(bytes.fromhex(text) for text in item["proof"] if len(text) == _HASH_DIGITS)
    texts = item["texts"]
    if not all(isinstance(text, str) for text in texts.values()):
        message = "a text that is none"
        raise ValueError(message)
    return ProvedRow(leaf, index, bytes.fromhex(item["row"]), proof, dict(texts))
