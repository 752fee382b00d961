from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gradledger.errors import StorageError
from gradledger.native import compiled_passes
from gradledger.state import fingerprint_arrays, labelled
from gradledger.state.lanes import (
    ROW_BYTES,
    ROW_WORDS,
    pseudo_random,
    row_lanes,
    row_weights,
)

MASK = 2**64 - 1
#: Lengths around the borders of words, rows, blocks of rows and the point where threads start.
LENGTHS = [0, 1, 2, 7, 2047, 2048, 2049, 4096, 5000, 128 * 2048 + 3, 1024 * 2048 + 2048 + 1]

arrays = st.builds(
    lambda seed, count: np.random.default_rng(seed).standard_normal(count, dtype=np.float32),
    st.integers(0, 2**32 - 1),
    st.sampled_from(LENGTHS[1:9]),
)


def by_hand(row: bytes) -> tuple[int, int]:
    forward, backward = row_weights()
    words = struct.unpack(f"<{ROW_WORDS}Q", row)
    reverse = struct.unpack(f">{ROW_WORDS}Q", row)
    return (
        sum(int(w) * x for w, x in zip(forward, words, strict=True)) & MASK,
        sum(int(w) * x for w, x in zip(backward, reverse, strict=True)) & MASK,
    )


def test_lanes_are_what_integers_say() -> None:
    rng = np.random.default_rng(0)
    content = np.frombuffer(rng.bytes(300 * ROW_BYTES), np.uint8)
    lanes = row_lanes(content)
    for place in (0, 127, 128, 299):
        row = content[place * ROW_BYTES : (place + 1) * ROW_BYTES].tobytes()
        assert tuple(int(lane) for lane in lanes[:, place]) == by_hand(row)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    items = [(f"a{n}", rng.standard_normal(n)) for n in (5, 700_000, 1024 * 512, 3000, 1_100_000)]
    threaded = fingerprint_arrays(items)
    monkeypatch.setattr("gradledger.state.lanes._THREADED_ROWS", 1 << 40)
    assert fingerprint_arrays(items) == threaded


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.skipif(compiled_passes() is None, reason="no C compiler")
def test_the_compiled_pass_changes_nothing(monkeypatch: pytest.MonkeyPatch, threaded: bool) -> None:
    """Arrays that end within a row or four rows, and one that no pass can read where it lies."""
    rng = np.random.default_rng(0)
    items = [(f"a{n}", rng.standard_normal(n)) for n in (1023, 1024, 4096, 5 * 1024 + 3, 700_000)]
    crooked = np.frombuffer(rng.bytes(3 * ROW_BYTES + 1), np.uint8)[1:]
    items.append(("crooked", crooked))
    monkeypatch.setattr("gradledger.state.lanes._THREADED_ROWS", 1 if threaded else 1 << 40)
    compiled = fingerprint_arrays(items)
    monkeypatch.setattr("gradledger.state.lanes.compiled_passes", lambda: None)
    assert fingerprint_arrays(items) == compiled


def test_weights_are_splitmix64_and_odd() -> None:
    assert pseudo_random(3, seed=1234567).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]
    weights = np.concatenate(row_weights())
    assert (weights & np.uint64(1)).all()
    assert len(set(weights.tolist())) == 2 * ROW_WORDS


@pytest.mark.parametrize("length", LENGTHS)
def test_fingerprint_is_the_same_again(length: int) -> None:
    values = np.random.default_rng(1).standard_normal(length, dtype=np.float32)
    first = fingerprint_arrays([("a", values)])
    assert first == fingerprint_arrays([("a", values.copy())])
    assert len(first) == 16
    assert int(first, 16) >= 0


def test_golden_value() -> None:
    """The fingerprint is written into records: its definition must not move."""
    items: list[tuple[str, NDArray[Any]]] = [
        ("a", np.arange(5000, dtype=np.float32)),
        ("b", np.asarray(True)),
        ("c", np.arange(3, dtype=np.int64)),
    ]
    assert fingerprint_arrays(items) == "598d664fbb9c25e1"


@settings(deadline=None, max_examples=60)
@given(array=arrays, data=st.data())
def test_every_single_bit_counts(array: NDArray[np.float32], data: st.DataObject) -> None:
    before = fingerprint_arrays([("a", array)])
    bit = data.draw(st.integers(0, array.nbytes * 8 - 1))
    array.view(np.uint8)[bit // 8] ^= 1 << bit % 8
    assert fingerprint_arrays([("a", array)]) != before


@settings(deadline=None, max_examples=60)
@given(array=arrays, data=st.data())
def test_swaps_are_seen(array: NDArray[np.float32], data: st.DataObject) -> None:
    before = fingerprint_arrays([("a", array)])
    place = st.integers(0, array.size - 1)
    one, two = data.draw(place), data.draw(place)
    differ = array[one].tobytes() != array[two].tobytes()
    array[one], array[two] = array[two], array[one]
    assert (fingerprint_arrays([("a", array)]) != before) == differ


def test_all_single_bits_and_swaps_of_one_row_are_distinct() -> None:
    array = np.random.default_rng(0).integers(0, 2**63, 1100, dtype=np.int64)
    seen = {fingerprint_arrays([("a", array)])}
    for bit in range(0, array.nbytes * 8, 7):
        array.view(np.uint8)[bit // 8] ^= 1 << bit % 8
        seen.add(fingerprint_arrays([("a", array)]))
        array.view(np.uint8)[bit // 8] ^= 1 << bit % 8
    num_bits = len(range(0, array.nbytes * 8, 7))
    for place in range(1099):
        swapped = array.copy()
        swapped[[place, place + 1]] = swapped[[place + 1, place]]
        seen.add(fingerprint_arrays([("a", swapped)]))
    assert len(seen) == 1 + num_bits + 1099


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 3), (0, 1500), (1023, 4095)])
def test_two_changed_signs_do_not_cancel(dtype: type, pair: tuple[int, int]) -> None:
    """The top bits of two words vanish together in a plain product modulo 2**64."""
    array = np.zeros(5000, dtype)
    before = fingerprint_arrays([("a", array)])
    array[list(pair)] = -0.0
    assert fingerprint_arrays([("a", array)]) != before
    assert not array.any()


def test_negating_everything_is_seen() -> None:
    array = np.random.default_rng(0).standard_normal(8192)
    assert fingerprint_arrays([("a", array)]) != fingerprint_arrays([("a", -array)])


def test_payload_of_nan_is_seen() -> None:
    words = np.asarray([0x7FC00000], np.uint32)
    other = words + np.uint32(1)
    one, two = (fingerprint_arrays([("a", w.view(np.float32))]) for w in (words, other))
    assert one != two


def test_moving_bytes_across_arrays_is_seen() -> None:
    def cut(first: int) -> str:
        content = np.arange(64, dtype=np.uint8)
        return fingerprint_arrays([("a", content[:first]), ("b", content[first:])])

    assert len({cut(first) for first in range(65)}) == 65


@pytest.mark.parametrize(
    "items",
    [
        [("b", np.zeros(6, np.float32))],
        [("a", np.zeros(6, np.int32))],
        [("a", np.zeros((2, 3), np.float32))],
        [("a", np.zeros(3, np.float64))],
        [("a", np.zeros(7, np.float32))],
        [("a", np.zeros(6, labelled("bfloat32", 4)))],
        [("a", np.zeros(6, np.float32)), ("b", np.zeros(0, np.float32))],
        [],
    ],
)
def test_names_dtypes_shapes_and_counts_are_mixed_in(items: list[tuple[str, Any]]) -> None:
    assert fingerprint_arrays(items) != fingerprint_arrays([("a", np.zeros(6, np.float32))])


def test_order_of_arrays_counts() -> None:
    one, two = ("a", np.zeros(3)), ("b", np.zeros(3))
    assert fingerprint_arrays([one, two]) != fingerprint_arrays([two, one])


@given(st.permutations(range(4)))
def test_rows_do_not_commute(order: list[int]) -> None:
    rows = np.random.default_rng(0).standard_normal((4, 1024))
    same = fingerprint_arrays([("a", rows[order])]) == fingerprint_arrays([("a", rows)])
    assert same == (order == [0, 1, 2, 3])


def test_layout_in_memory_does_not_count() -> None:
    array = np.random.default_rng(0).standard_normal((60, 70))
    expected = fingerprint_arrays([("a", array)])
    assert fingerprint_arrays([("a", np.asfortranarray(array))]) == expected
    assert fingerprint_arrays([("a", np.repeat(array, 2, axis=1)[:, ::2])]) == expected
    unaligned = np.frombuffer(b"x" + array.tobytes(), np.float64, offset=1).reshape(array.shape)
    assert fingerprint_arrays([("a", unaligned)]) == expected


def test_bits_of_the_result_are_spread() -> None:
    """Over 2000 fingerprints of nearly equal arrays, every bit is set about half of the time."""
    array, counts = np.zeros(3000, np.float32), np.zeros(64)
    for place in range(2000):
        array[place] = 1
        found = int(fingerprint_arrays([("a", array)]), 16)
        counts += [(found >> bit) & 1 for bit in range(64)]
    assert counts.min() > 2000 / 2 - 5 * 2000**0.5 / 2
    assert counts.max() < 2000 / 2 + 5 * 2000**0.5 / 2


def test_objects_are_refused() -> None:
    with pytest.raises(StorageError, match="S124"):
        fingerprint_arrays([("a", np.asarray([object()]))])
