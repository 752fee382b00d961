from __future__ import annotations

import hashlib

import pytest

from gradledger.canon import digest_hex, keyed_commitment, record_digest
from gradledger.errors import InputError


def test_digest_of_the_standard_example() -> None:
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_hex(b"abc") == digest_hex(memoryview(b"abc")) == expected


def test_record_digest_can_be_computed_by_hand() -> None:
    by_hand = hashlib.sha256(b'gradledger\0policy/1\0{"a":1,"b":[2]}').hexdigest()
    assert record_digest("policy/1", {"b": (2,), "a": 1}) == by_hand


def test_domains_keep_equal_records_apart() -> None:
    assert record_digest("policy/1", {}) != record_digest("decision/1", {})


@pytest.mark.parametrize("domain", ["", "a\0b"])
def test_a_domain_that_could_run_into_the_record_is_refused(domain: str) -> None:
    with pytest.raises(InputError, match="I121"):
        record_digest(domain, {})


def test_commitment_of_rfc_4231_case_4() -> None:
    key = bytes(range(1, 26))
    expected = "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
    assert keyed_commitment(key, b"\xcd" * 50) == expected


def test_a_guessable_salt_is_refused() -> None:
    with pytest.raises(InputError, match="I123"):
        keyed_commitment(b"short", b"content")
