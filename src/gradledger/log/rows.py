"""What the leaf of a segment says of its rows, and receipts for single rows.

A row's receipt is two proofs: from the row to the inner root that the segment's leaf carries, and
from that leaf to a checkpoint. The row travels in its canonical bytes, so that checking it needs no
Parquet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from gradledger.canon import (
    ROW_FORMAT,
    RowLayout,
    canonical_json,
    decode_row,
    leaf_bytes,
    parse_json,
    read_leaf,
)
from gradledger.errors import InputError, LogError
from gradledger.log.hashed_rows import hash_segment
from gradledger.log.receipt import Receipt
from gradledger.merkle import (
    HASH_BYTES,
    Flaw,
    check_inclusion,
    inclusion_proof,
    leaf_hash,
    leaf_hashes,
    root_hash,
)
from gradledger.schema import FileDigest, SegmentLeaf
from gradledger.segment import (
    SEGMENT_FORMAT,
    SealedSegment,
    encode_rows,
    read_segment,
    row_layout,
)

ROW_RECEIPT_FORMAT: Final = "gradledger.row-receipt/1"


def segment_leaf(run_dir: Path, run_id: str, sealed: SealedSegment) -> SegmentLeaf:
    """Return the leaf of a sealed segment.

    The rows are read back from the file, so that the leaf commits to what is there.

    Args:
        run_dir: The run.
        run_id: Its identifier.
        sealed: What ``SegmentWriter.seal`` returned.

    Raises:
        StorageError: The segment cannot be read. Codes S114 and S115.
    """
    found = hash_segment(Path(run_dir) / sealed.name)
    return SegmentLeaf(
        run_id=run_id,
        files=(FileDigest(sealed.name, sealed.num_bytes, sealed.sha256),),
        table=sealed.name.rpartition("/")[0],
        num_rows=found.num_rows,
        min_step=sealed.min_step,
        max_step=sealed.max_step,
        row_format=ROW_FORMAT,
        row_bytes=found.layout.row_bytes,
        columns_sha256=found.layout.columns_sha256,
        inner_root=found.inner_root.hex(),
        segment_format=SEGMENT_FORMAT,
    )


def segment_leaves(
    run_dir: Path, run_id: str, sealed: Sequence[SealedSegment]
) -> Iterator[SegmentLeaf]:
    """Give the leaves of segments in their order, two of them in work at a time.

    Raises:
        StorageError: As ``segment_leaf``, at the segment that cannot be read.
    """
    with ThreadPoolExecutor(2) as crew:
        yield from crew.map(partial(segment_leaf, run_dir, run_id), sealed)


def hash_rows(path: Path) -> tuple[RowLayout, list[bytes]]:
    """Return the layout of a segment's rows and their leaf hashes, in order.

    Raises:
        StorageError: The segment cannot be read. Codes S114 and S115.
    """
    table = read_segment(path)
    layout = row_layout(table.schema)
    hashes: list[bytes] = []
    for block in encode_rows(table, layout):
        hashes += leaf_hashes(block.data, layout.row_bytes)
    return layout, hashes


@dataclass(frozen=True)
class RowReceipt:
    """Proof that a row is in a segment that is in a log.

    Attributes:
        columns: Names and logical types of the columns.
        row: Canonical bytes of the row.
        index: Place of the row in its segment.
        proof: Inclusion proof from the row to the segment's inner root.
        leaf: The segment's leaf, as the log has it.
        receipt: Receipt of that leaf.
    """

    columns: tuple[tuple[str, str], ...]
    row: bytes
    index: int
    proof: tuple[bytes, ...]
    leaf: bytes
    receipt: Receipt

    def values(self) -> dict[str, Any]:
        """Return the row's values; texts come as their digests.

        Raises:
            InputError: The row does not fit the columns. Code I121.
        """
        return decode_row(RowLayout(self.columns), self.row)

    def check_row(self) -> str | None:
        """Return why the row is not what the segment's leaf commits to; None where it is."""
        try:
            leaf = read_leaf(self.leaf)
            layout = RowLayout(self.columns)
        except InputError as error:
            return error.observed
        if not isinstance(leaf, SegmentLeaf):
            return f"a leaf of kind {leaf.kind}"
        if (layout.columns_sha256, layout.row_bytes) != (leaf.columns_sha256, leaf.row_bytes):
            return "other columns than the leaf's"
        if len(self.row) != layout.row_bytes:
            return f"a row of {len(self.row)} bytes"
        root = bytes.fromhex(leaf.inner_root)
        flaw = check_inclusion(leaf_hash(self.row), self.index, leaf.num_rows, self.proof, root)
        return str(flaw) if flaw else None

    def check_log(self) -> Flaw | None:
        """Return why the leaf is not in the receipt's checkpoint; None where it is.

        Who signed that checkpoint is for ``receipt.check`` or a quorum policy to say.
        """
        return self.receipt.check_inclusion(self.leaf)

    def __bytes__(self) -> bytes:
        """Return the receipt's canonical JSON."""
        record = {
            "columns": self.columns,
            "format": ROW_RECEIPT_FORMAT,
            "leaf": self.leaf.decode(),
            "proof": [item.hex() for item in self.proof],
            "receipt": str(self.receipt),
            "row": self.row.hex(),
            "row_index": self.index,
        }
        return canonical_json(record) + b"\n"

    @staticmethod
    def parse(content: bytes) -> RowReceipt:
        """Read a receipt.

        Raises:
            LogError: The receipt (L161) or the checkpoint in it (L111, L113) is malformed.
        """
        try:
            record = parse_json(content, "row receipt")
            found = RowReceipt(
                tuple((str(name), str(kind)) for name, kind in record["columns"]),
                bytes.fromhex(record["row"]),
                int(record["row_index"]),
                tuple(bytes.fromhex(item) for item in record["proof"]),
                record["leaf"].encode(),
                Receipt.parse(record["receipt"].encode()),
            )
            same = bytes(found) == content
        except LogError:
            raise
        except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise _malformed(str(error).splitlines()[0][:200]) from error
        if not same or any(len(item) != HASH_BYTES for item in found.proof):
            raise _malformed("another spelling, or a hash of another length")
        return found


def row_receipt(run_dir: Path, leaf: SegmentLeaf, index: int, receipt: Receipt) -> RowReceipt:
    """Return the receipt of a row.

    Args:
        run_dir: The run.
        leaf: Leaf of the segment that holds the row.
        index: Place of the row in the segment.
        receipt: Receipt of that leaf.

    Raises:
        LogError: There is no such row. Code L122.
        StorageError: The segment cannot be read. Codes S114 and S115.
    """
    path = Path(run_dir) / leaf.files[0].path
    layout, hashes = hash_rows(path)

    def read_node(height: int, place: int) -> bytes:
        return root_hash(hashes[place << height : (place + 1) << height])

    proof = inclusion_proof(index, len(hashes), read_node)
    row = next(encode_rows(read_segment(path).slice(index, 1), layout))
    return RowReceipt(layout.columns, row.tobytes(), index, tuple(proof), leaf_bytes(leaf), receipt)


def _malformed(observed: str) -> LogError:
    return LogError(
        "L161",
        observed=observed,
        expected=f"a {ROW_RECEIPT_FORMAT} as it was given out",
        where="row receipt",
        hint="take the receipt byte for byte as it was given out",
    )
