"""How a record becomes bytes, and bytes a digest. Standard library only."""

from gradledger.canon.canonical import canonical_json
from gradledger.canon.digest import digest_hex, keyed_commitment, record_digest
from gradledger.canon.plain import to_plain
from gradledger.canon.strict import parse_json

__all__ = [
    "canonical_json",
    "digest_hex",
    "keyed_commitment",
    "parse_json",
    "record_digest",
    "to_plain",
]
