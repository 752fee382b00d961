from __future__ import annotations

import pytest

from gradledger.canon import parse_json
from gradledger.errors import InputError


def test_ordinary_text_is_read() -> None:
    assert parse_json(b'{"a": [1, 2.5, null, "\\u20ac"], "b": 18446744073709551615}') == {
        "a": [1, 2.5, None, "€"],
        "b": 2**64 - 1,
    }


@pytest.mark.parametrize(
    ("text", "observed"),
    [
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b'[{"b": {"c": 1, "c": 1}}]', "'c' twice"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"1e400", "1e400"),
        (b'"\\ud800"', "surrogates"),
        (b'{"a": 1', "delimiter"),
        (b"\xff", "utf-8"),
        (b"", "Expecting value"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: bytes, observed: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(text, "run.json")
    assert caught.value.code == "I122"
    assert observed in caught.value.observed
    assert caught.value.where == "run.json"
