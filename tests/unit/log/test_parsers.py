"""Whatever bytes come: a parser returns what gives the same bytes back, or raises its own error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.errors import LogError
from gradledger.log import (
    Checkpoint,
    CosignRequest,
    LastSigned,
    LogDescription,
    Note,
    QuorumPolicy,
    Receipt,
    RowReceipt,
    SigningKey,
    VerifierKey,
    parse_waiting,
)
from gradledger.merkle import leaf_hash

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "log.json").read_text(encoding="utf-8")
)
NOTES = VECTORS["notes"]
KEY = VerifierKey.parse(NOTES["verifier_key"])
RECORD = (3).to_bytes(8, "big") + b"\x00\x04leaf" + leaf_hash(b"leaf")
CHECKPOINT = Checkpoint.parse(NOTES["checkpoint"].encode())
ROW_RECEIPT = RowReceipt(
    (("x", "int16"),),
    b"\x01\x02\x03",
    0,
    (bytes(32),),
    VECTORS["leaves"][0].encode(),
    Receipt(0, (), CHECKPOINT),
)

Parser = Callable[[bytes], bytes]


def _text(parse: Callable[[str], Any]) -> Parser:
    return lambda content: str(parse(content.decode("utf-8", "surrogateescape"))).encode()


def _secret(content: bytes) -> bytes:
    return SigningKey.from_secret_text(content.decode("utf-8", "replace")).secret_text().encode()


def _policy(content: bytes) -> bytes:
    QuorumPolicy.parse(content)
    return content


def _waiting(content: bytes) -> bytes:
    records = [
        index.to_bytes(8, "big") + len(leaf).to_bytes(2, "big") + leaf + leaf_hash(leaf)
        for index, leaf, _ in parse_waiting(content)
    ]
    whole = b"".join(records)
    assert content.startswith(whole)
    return content


PARSERS: dict[str, tuple[Parser, bytes]] = {
    "note": (lambda raw: str(Note.parse(raw)).encode(), NOTES["checkpoint"].encode()),
    "checkpoint": (lambda raw: bytes(Checkpoint.parse(raw)), NOTES["cosigned_checkpoint"].encode()),
    "unsigned": (lambda raw: bytes(Checkpoint.parse(raw)), NOTES["unsigned_head"].encode()),
    "receipt": (lambda raw: bytes(Receipt.parse(raw)), NOTES["receipt_of_leaf_5"].encode()),
    "request": (lambda raw: bytes(CosignRequest.parse(raw)), NOTES["witness_request"].encode()),
    "row receipt": (lambda raw: bytes(RowReceipt.parse(raw)), bytes(ROW_RECEIPT)),
    "description": (
        lambda raw: bytes(LogDescription.parse(raw)),
        bytes(LogDescription(KEY.name, (KEY,))),
    ),
    "last signed": (
        lambda raw: bytes(LastSigned.parse(raw, "")),
        bytes(LastSigned("a", 3, bytes(32))),
    ),
    "verifier key": (_text(VerifierKey.parse), NOTES["verifier_key"].encode()),
    "secret key": (_secret, NOTES["secret_key"].encode()),
    "policy": (_policy, f"witness w {NOTES['witness_verifier_key']}\nquorum w\n".encode()),
    "waiting": (_waiting, RECORD + RECORD),
}


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_written_is_read(name: str) -> None:
    parse, good = PARSERS[name]
    assert parse(good) == good


@pytest.mark.parametrize("name", PARSERS)
@given(content=st.binary(max_size=200))
def test_any_bytes(name: str, content: bytes) -> None:
    attempt(name, content)


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
def test_changed_bytes(name: str, data: st.DataObject) -> None:
    """Flip, cut, double or insert in something good: refused, or read as exactly what it is."""
    good = PARSERS[name][1]
    start = data.draw(st.integers(0, len(good) - 1))
    stop = data.draw(st.integers(start, min(len(good), start + 40)))
    piece = data.draw(
        st.one_of(
            st.just(good[start:stop] * 2),
            st.sampled_from(
                [b"", b"\n", b"\n\n", b" ", b"\r\n", b"=", b"\x00", b"0", b"-1", b"\xff"]
            ),
            st.binary(max_size=8),
        )
    )
    attempt(name, good[:start] + piece + good[stop:])


@pytest.mark.parametrize(
    "record",
    [
        {"origin": ["a"], "verifier_keys": []},
        {"origin": {}, "verifier_keys": []},
        {"origin": "a", "verifier_keys": [{}]},
        {"origin": "a", "verifier_keys": "a"},
        {"origin": "a"},
    ],
)
def test_descriptions_of_other_types(record: dict[str, Any]) -> None:
    content = json.dumps({"format": "gradledger.log/1", "signed": False, **record}).encode()
    with pytest.raises(LogError, match="L132"):
        LogDescription.parse(content)


def attempt(name: str, content: bytes) -> None:
    try:
        again = PARSERS[name][0](content)
    except LogError:
        return
    if name in {"verifier key", "secret key"}:  # lines, with or without their newline
        assert again == content.strip()
    else:
        assert again == content
