from __future__ import annotations

import enum
import json
import math
import struct
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.canon import canonical_json, to_plain
from gradledger.canon.plain import MAX_DEPTH
from gradledger.errors import InputError

# Samples of RFC 8785, appendix B: bits of the float and its text.
NUMBERS = {
    0x0000000000000000: "0",
    0x8000000000000000: "0",
    0x0000000000000001: "5e-324",
    0x8000000000000001: "-5e-324",
    0x7FEFFFFFFFFFFFFF: "1.7976931348623157e+308",
    0xFFEFFFFFFFFFFFFF: "-1.7976931348623157e+308",
    0x4340000000000000: "9007199254740992",
    0xC340000000000000: "-9007199254740992",
    0x4430000000000000: "295147905179352830000",
    0x44B52D02C7E14AF5: "9.999999999999997e+22",
    0x44B52D02C7E14AF6: "1e+23",
    0x44B52D02C7E14AF7: "1.0000000000000001e+23",
    0x444B1AE4D6E2EF4E: "999999999999999700000",
    0x444B1AE4D6E2EF4F: "999999999999999900000",
    0x444B1AE4D6E2EF50: "1e+21",
    0x3EB0C6F7A0B5ED8C: "9.999999999999997e-7",
    0x3EB0C6F7A0B5ED8D: "0.000001",
    0x41B3DE4355555553: "333333333.3333332",
    0x41B3DE4355555554: "333333333.33333325",
    0x41B3DE4355555555: "333333333.3333333",
    0x41B3DE4355555556: "333333333.3333334",
    0x41B3DE4355555557: "333333333.33333343",
    0xBECBF647612F3696: "-0.0000033333333333333333",
    0x43143FF3C1CB0959: "1424953923781206.2",
}

plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_in_rfc_8785(bits: int, text: str) -> None:
    (value,) = struct.unpack(">d", bits.to_bytes(8, "big"))
    assert canonical_json(value).decode() == text


def test_sample_of_rfc_8785_section_3_2() -> None:
    record = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical_json(record).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_sorted_by_utf16_code_units() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\u00f6"]
    written = json.loads(canonical_json(dict.fromkeys(names)), object_pairs_hook=list)
    assert [name for name, _ in written] == [
        "\r", "1", "\x80", "\u00f6", "\u20ac", "\U0001f600", "\ufb33",
    ]  # fmt: skip


def _as_ecmascript(digits: str) -> int | float:
    """Large floats are written without point or exponent: every reader takes them as floats."""
    return int(digits) if abs(int(digits)) < 2**53 else float(digits)


@given(plain_values)
def test_round_trip(value: object) -> None:
    text = canonical_json(value)
    read = json.loads(text, parse_int=_as_ecmascript)
    assert read == value
    assert canonical_json(read) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_to_the_bit(value: float) -> None:
    assert float(canonical_json(value)) == value


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 9)))
def test_order_of_insertion_does_not_matter(record: dict[str, int]) -> None:
    assert canonical_json(record) == canonical_json(dict(reversed(record.items())))


class Verdict(enum.Enum):
    ADMIT = "admit"


@dataclass(frozen=True)
class Inner:
    place: tuple[int, ...]


@dataclass(frozen=True)
class Outer:
    verdict: Verdict
    inner: Inner


def test_dataclasses_tuples_enums_and_numpy_scalars_are_taken() -> None:
    assert canonical_json(Outer(Verdict.ADMIT, Inner((1, 2)))) == (
        b'{"inner":{"place":[1,2]},"verdict":"admit"}'
    )
    record = {Verdict.ADMIT: [np.int32(3), np.float32(0.5), np.float64(0.1)]}
    assert canonical_json(record) == b'{"admit":[3,0.5,0.1]}'


@pytest.mark.parametrize(
    ("value", "observed"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        ([1, [2, -math.inf]], "-inf"),
        (2**53, "54 bits"),
        (-(2**53), "54 bits"),
        ("\ud800", "lone surrogate"),
        ({"\udc00": 1}, "lone surrogate"),
        ({1: 2}, "a key of type int"),
        ({"admit": 1, Verdict.ADMIT: 2}, "'admit' twice"),
        (b"bytes", "a bytes"),
        ({1, 2}, "a set"),
        (1j, "a complex"),
        (Inner, "a type"),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: object, observed: str) -> None:
    with pytest.raises(InputError) as caught:
        canonical_json(value)
    assert caught.value.code == "I121"
    assert observed in caught.value.observed


def test_the_place_of_a_bad_value_is_named() -> None:
    with pytest.raises(InputError) as caught:
        canonical_json({"rows": [{"loss": math.nan}]})
    assert caught.value.where == "$.rows[0].loss"


def test_hostile_nesting_is_an_error_not_a_crash() -> None:
    value: list[object] = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert canonical_json(value)
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InputError, match="at most 128 levels"):
        canonical_json(value)


def test_non_finite_numbers_can_be_given_as_text() -> None:
    plain = to_plain([math.nan, math.inf, -math.inf, 1.0], non_finite_as_text=True)
    assert plain == ["NaN", "Infinity", "-Infinity", 1.0]
