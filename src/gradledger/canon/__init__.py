"""How a record becomes bytes, and bytes a digest. Standard library only."""

from gradledger.canon.canonical import canonical_json
from gradledger.canon.digest import digest_hex, keyed_commitment, record_digest
from gradledger.canon.leaf import leaf_bytes, read_leaf
from gradledger.canon.plain import to_plain
from gradledger.canon.row import (
    NAN_BITS,
    ROW_CODES,
    ROW_FORMAT,
    RowLayout,
    decode_row,
    encode_row,
    field_bytes,
    text_digest,
)
from gradledger.canon.strict import parse_json

__all__ = [
    "NAN_BITS",
    "ROW_CODES",
    "ROW_FORMAT",
    "RowLayout",
    "canonical_json",
    "decode_row",
    "digest_hex",
    "encode_row",
    "field_bytes",
    "keyed_commitment",
    "leaf_bytes",
    "parse_json",
    "read_leaf",
    "record_digest",
    "text_digest",
    "to_plain",
]
