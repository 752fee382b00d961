from __future__ import annotations

import math
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gradledger.errors import StorageError
from gradledger.segment import cut_mantissa
from gradledger.segment.columns import to_arrow

floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


def _rounded_exactly(value: float, bits: int) -> float:
    """Round to ``bits`` mantissa bits in exact arithmetic, ties to even."""
    if value == 0 or not math.isfinite(value):
        return value
    exponent = max(math.frexp(value)[1] - 1, -126)  # below it, spacing no longer shrinks
    unit = math.ldexp(1.0, exponent - bits)
    return math.copysign(round(value / unit) * unit, value)


@example(values=[1.5 * 2.0**127], bits=0)
@example(
    values=[1.5 * 2.0**55, 1.5 * 2.0**56, -1.5 * 2.0**-126, 2.0**-127, 1.5 * 2.0**-127], bits=0
)
@given(values=st.lists(floats, min_size=1, max_size=20), bits=st.integers(0, 23))
def test_cut_is_rounding_to_nearest_even(values: list[float], bits: int) -> None:
    array = np.asarray(values, np.float32)
    found = cut_mantissa(array, bits)
    assert found.dtype == np.float32
    for value, cut in zip(array.tolist(), found.tolist(), strict=True):
        expected = _rounded_exactly(value, bits)
        if abs(expected) >= 2.0**128 and math.isfinite(value):
            assert math.isfinite(cut)
            assert abs(cut) >= 2.0**127
        elif math.isnan(value):
            assert math.isnan(cut)
        else:
            assert struct.pack("<f", cut) == struct.pack("<f", expected)


@given(values=st.lists(floats, min_size=1, max_size=20), bits=st.integers(0, 23))
def test_cut_clears_the_lower_bits_and_is_idempotent(values: list[float], bits: int) -> None:
    once = cut_mantissa(np.asarray(values, np.float32), bits)
    words = once.view(np.uint32)[np.isfinite(once)]
    assert not (words & np.uint32((1 << (23 - bits)) - 1)).any()
    assert cut_mantissa(once, bits).tobytes() == once.tobytes()


def test_nan_payload_and_infinity_survive() -> None:
    words = np.asarray([0x7FFFFFFF, 0xFF800001, 0x7F800000, 0xFF800000, 0x80000000], np.uint32)
    assert cut_mantissa(words.view(np.float32), 0).view(np.uint32).tolist() == words.tolist()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None, 3], pa.int32(), [1, None, 3]),
        (np.asarray([1, 2], np.int64), pa.int16(), [1, 2]),
        (np.asarray([0.5, np.nan], np.float64), pa.float32(), [0.5, math.nan]),
        (["a", None, "a"], pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"]),
        (np.asarray(["a", "b"]), pa.string(), ["a", "b"]),
        (np.asarray([True, False]), pa.bool_(), [True, False]),
        (pa.array([1, 2], pa.int8()), pa.int32(), [1, 2]),
        (pa.chunked_array([["x"], ["y"]]), pa.string(), ["x", "y"]),
        ([b"\0" * 32, None], pa.binary(32), [b"\0" * 32, None]),
        ([], pa.float32(), []),
    ],
)
def test_values_are_converted(values: object, kind: pa.DataType, expected: list[object]) -> None:
    found = to_arrow(values, kind, None, "visits")
    assert found.type == kind
    assert repr(found.to_pylist()) == repr(expected)


def test_digests_as_one_array_of_bytes() -> None:
    digests = np.arange(64, dtype=np.uint8).reshape(2, 32)
    found = to_arrow(digests, pa.binary(32), None, "visits")
    assert found.to_pylist() == [bytes(range(32)), bytes(range(32, 64))]


def test_nulls_stay_null_and_nan_stays_nan_when_cut() -> None:
    found = to_arrow([1.2345678, None, math.nan], pa.float32(), 3, "visits")
    assert found.null_count == 1
    assert found[0].as_py() == 1.25
    assert math.isnan(found[2].as_py())


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2**15], pa.int16()),
        (np.asarray([2**31]), pa.int32()),
        (["text"], pa.float32()),
        ([b"short"], pa.binary(32)),
        (np.zeros((2, 31), np.uint8), pa.binary(32)),
        (np.zeros((2, 2), np.float32), pa.float32()),
        (np.asarray([0.5]), pa.int32()),
        ([object()], pa.string()),
    ],
)
def test_values_that_do_not_fit_are_refused(values: object, kind: pa.DataType) -> None:
    with pytest.raises(StorageError) as caught:
        to_arrow(values, kind, None, "visits, column loss")
    assert caught.value.code == "S114"
    assert caught.value.where == "visits, column loss"
