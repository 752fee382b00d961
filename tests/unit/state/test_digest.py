from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradledger.errors import StorageError
from gradledger.state import digest_arrays, labelled


def test_framing_can_be_computed_by_hand() -> None:
    def number(value: int) -> bytes:
        return value.to_bytes(8, "little")

    by_hand = hashlib.sha256(
        b"gradledger.arrays/1\0"
        + number(1)
        + number(1) + b"w"
        + number(7) + b"float32"
        + number(2) + number(1) + number(2)
        + number(8)
        + np.asarray([[1, 2]], "<f4").tobytes()
    ).hexdigest()  # fmt: skip
    assert digest_arrays([("w", np.asarray([[1, 2]], np.float32))]) == by_hand


def test_order_does_not_matter_and_byte_order_neither() -> None:
    one, two = ("a", np.arange(3.0)), ("b", np.arange(4))
    assert digest_arrays([one, two]) == digest_arrays([two, one])
    assert digest_arrays([("a", np.arange(3, dtype=">f8"))]) == digest_arrays([one])


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=3), st.data())
def test_different_arrays_never_frame_alike(parts: list[bytes], data: st.DataObject) -> None:
    others = data.draw(st.lists(st.binary(max_size=9), min_size=1, max_size=3))

    def digest(values: list[bytes]) -> str:
        return digest_arrays(
            (f"n{place}", np.frombuffer(v, np.uint8)) for place, v in enumerate(values)
        )

    assert (digest(parts) == digest(others)) == (parts == others)


def test_names_dtypes_and_shapes_count() -> None:
    items = [
        [("a", np.zeros(4, np.float32))],
        [("b", np.zeros(4, np.float32))],
        [("a", np.zeros(4, np.int32))],
        [("a", np.zeros((2, 2), np.float32))],
        [("a", np.zeros(4, labelled("odd", 4)))],
        [("a", np.asarray([0, 0, 0, -0.0], np.float32))],
    ]
    assert len({digest_arrays(item) for item in items}) == len(items)


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(StorageError, match="'a' twice"):
        digest_arrays([("a", np.zeros(1)), ("a", np.zeros(2))])
