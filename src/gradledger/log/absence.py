"""The file form of an absence proof: a value, its neighbours, and the leaf they are proved against.

A value is a keyed commitment. That it stands for certain content can be told only by whoever has
the salt of its source; the proof says that the value is not among those that were sealed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gradledger.canon import leaf_bytes, read_leaf
from gradledger.errors import InputError
from gradledger.log.commitments import read_commitments
from gradledger.log.receipt import Receipt
from gradledger.merkle import (
    HASH_BYTES,
    AbsenceProof,
    Flaw,
    Neighbour,
    absence_proof,
    check_absence,
)
from gradledger.schema import CommitmentsLeaf

_SIDE_FIELDS: Final = frozenset({"index", "proof", "value"})


@dataclass(frozen=True)
class AbsenceReceipt:
    """Proof that a value is not among the sealed commitments of one source.

    Attributes:
        value: The commitment that is not there, 32 bytes.
        proof: Its neighbours in the sorted tree.
        leaf: The leaf of the sealed commitments, as the log has it.
        receipt: Receipt of that leaf.
    """

    value: bytes
    proof: AbsenceProof
    leaf: bytes
    receipt: Receipt

    def objection(self) -> str | None:
        """Return why the value is not proved absent from what the leaf seals; None where it is."""
        try:
            leaf = read_leaf(self.leaf)
        except InputError as error:
            return error.observed
        if not isinstance(leaf, CommitmentsLeaf):
            return f"a leaf of kind {leaf.kind}"
        root = bytes.fromhex(leaf.sorted_root)
        flaw = check_absence(self.value, leaf.num_values, root, self.proof)
        return str(flaw) if flaw else None

    def check_log(self) -> Flaw | None:
        """Return why the leaf is not in the receipt's checkpoint; None where it is."""
        return self.receipt.check_inclusion(self.leaf)

    def to_record(self) -> dict[str, Any]:
        """Return the members of its JSON object."""
        return {
            "after": _side(self.proof.after),
            "before": _side(self.proof.before),
            "leaf": self.leaf.decode(),
            "receipt": str(self.receipt),
            "value": self.value.hex(),
        }

    @staticmethod
    def from_record(record: Any) -> AbsenceReceipt:
        """Read such an object.

        Raises:
            LogError: The receipt (L161) or the checkpoint in it (L111, L113) is malformed.
            ValueError: Anything else is malformed.
        """
        try:
            return AbsenceReceipt(
                _hash(record["value"]),
                AbsenceProof(_neighbour(record["before"]), _neighbour(record["after"])),
                record["leaf"].encode(),
                Receipt.parse(record["receipt"].encode()),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error


def prove_absence(
    run_dir: Path, leaf: CommitmentsLeaf, value: bytes, receipt: Receipt
) -> AbsenceReceipt:
    """Prove that a value is not among the commitments that a leaf seals.

    Raises:
        LogError: The value is there, or the sealed file is damaged. Code L171.
        StorageError: The file cannot be read. Code S113.
    """
    values = read_commitments(Path(run_dir) / leaf.files[0].path)
    return AbsenceReceipt(value, absence_proof(values, value), leaf_bytes(leaf), receipt)


def _side(neighbour: Neighbour | None) -> dict[str, Any] | None:
    if neighbour is None:
        return None
    return {
        "index": neighbour.index,
        "proof": [item.hex() for item in neighbour.proof],
        "value": neighbour.value.hex(),
    }


def _neighbour(record: Any) -> Neighbour | None:
    if record is None:
        return None
    if record.keys() != _SIDE_FIELDS or type(record["index"]) is not int:
        message = "a neighbour of another form"
        raise ValueError(message)
    proof = tuple(_hash(item) for item in record["proof"])
    return Neighbour(record["index"], _hash(record["value"]), proof)


def _hash(text: Any) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != HASH_BYTES or found.hex() != text:
        message = f"{text!r:.80} in place of 64 hex digits"
        raise ValueError(message)
    return found
