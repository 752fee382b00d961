"""Fingerprints: 64 bits over the exact bits of many arrays, cheap enough for every step.

A fingerprint finds accidents: a flipped bit, two swapped values, the sign of a zero. Everything in
it is public, so whoever wants to can forge it; against intent there is the digest.

Shape legend: R rows of 1024 words of 8 bytes.

Each row is multiplied with two fixed vectors of odd weights, modulo 2**64, once as it is and once
with the bytes of every word reversed: the product alone would lose the upper bits of a word (two
signs of float64 would cancel), which reversal turns into lower ones. The two numbers per row are
then mixed with the row's place and added up. Bytes that fill no row are strung together into rows
at the end. Names, dtypes and shapes are hashed and mixed in last.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gradledger.native import compiled_passes
from gradledger.state.arrays import Array, Bytes, byte_view, dtype_label

Words = NDArray[np.uint64]
#: Name, dtype label and shape of one array.
Head = tuple[str, str, tuple[int, ...]]

#: Words of a row.
ROW_WORDS: Final = 1024
WORD_BYTES: Final = 8
ROW_BYTES: Final = ROW_WORDS * WORD_BYTES

#: Rows per pass: 1 MiB, so that the second product finds the rows in the cache.
_BLOCK_ROWS: Final = 128
#: Rows from which on a second thread pays (8 MiB), and the grain in which they are halved.
_THREADED_ROWS: Final = 1024
_PART_ROWS: Final = 512

# Constants of splitmix64 (Steele, Lea and Flood, 2014).
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def mix(words: Words) -> Words:
    """Return each word through the finaliser of splitmix64: a bijection that spreads every bit."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def pseudo_random(count: int, seed: int) -> Words:
    """Return the first ``count`` numbers of splitmix64 for a seed below 2**64."""
    places = np.arange(1, count + 1, dtype=np.uint64)
    return mix(places * _STEP + np.uint64(seed))


@cache
def row_weights() -> tuple[Words, Words]:
    """Return the odd weights of a row as it is and of its reversed words, (1024,) each."""
    weights = pseudo_random(2 * ROW_WORDS, seed=0x6772_6164) | np.uint64(1)
    weights.flags.writeable = False
    return weights[:ROW_WORDS], weights[ROW_WORDS:]


def row_lanes(content: Bytes) -> Words:
    """Return the two products of each row.

    Args:
        content: Shape (R * 8192,).

    Returns:
        Shape (2, R): rows as they are, rows with reversed words.
    """
    rows = content.view("<u8").reshape(-1, ROW_WORDS)
    lanes = np.empty((2, len(rows)), np.uint64)
    _fill_lanes(rows, lanes)
    return lanes


def _fill_lanes(rows: Words, lanes: Words) -> None:
    forward, backward = row_weights()
    reverse = rows.view(">u8")
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        # einsum on integers is a plain vectorised loop, and wraps modulo 2**64.
        np.einsum("ij,j->i", rows[block], forward, out=lanes[0, block])
        np.einsum("ij,j->i", reverse[block], backward, out=lanes[1, block])


def _fill_all(jobs: list[tuple[Words, Words]]) -> None:
    """Multiply the rows of many arrays, on two threads where there is enough to do."""
    num_rows = sum(len(rows) for rows, _ in jobs)
    jobs = _fill_compiled(jobs, threaded=num_rows >= _THREADED_ROWS)
    num_rows = sum(len(rows) for rows, _ in jobs)
    if num_rows < _THREADED_ROWS:
        _fill_each(jobs)
        return
    parts = [
        (rows[start : start + _PART_ROWS], lanes[:, start : start + _PART_ROWS])
        for rows, lanes in jobs
        for start in range(0, len(rows), _PART_ROWS)
    ]
    ends = np.cumsum([len(rows) for rows, _ in parts])
    half = int(np.searchsorted(ends, num_rows / 2)) + 1
    with ThreadPoolExecutor(1) as other:
        pending = other.submit(_fill_each, parts[half:])
        _fill_each(parts[:half])
        pending.result()


def _fill_compiled(jobs: list[tuple[Words, Words]], *, threaded: bool) -> list[tuple[Words, Words]]:
    """Multiply what the compiled pass can read, and return the rest: the products are the same."""
    passes = compiled_passes() if sys.byteorder == "little" else None
    if passes is None:
        return jobs
    rest = [job for job in jobs if not job[0].flags.aligned]
    addresses = [
        (rows.ctypes.data, len(rows), lanes[0].ctypes.data, lanes[1].ctypes.data)
        for rows, lanes in jobs
        if rows.flags.aligned
    ]
    forward, backward = row_weights()
    weights = forward.ctypes.data, backward.ctypes.data
    passes.row_lanes(addresses, weights, threaded=threaded)
    return rest


def _fill_each(jobs: list[tuple[Words, Words]]) -> None:
    for rows, lanes in jobs:
        _fill_lanes(rows, lanes)


class Fingerprint:
    """Collects arrays in order; ``hexdigest`` reads them and gives their fingerprint."""

    def __init__(self) -> None:
        self._heads: list[Head] = []
        self._lanes: list[Words] = []
        self._rows: list[tuple[Words, Words]] = []
        self._rest: list[memoryview | bytes] = []

    def add(self, name: str, array: Array) -> None:
        """Add an array: every bit counts, and so do name, dtype, shape and place in the order.

        Large arrays are read by ``hexdigest`` only, and must not change before.
        """
        head = (name, dtype_label(array.dtype), array.shape)
        content = byte_view(array)
        num_rows, lanes = content.size // ROW_BYTES, None
        if num_rows:
            lanes = np.empty((2, num_rows), np.uint64)
            whole = content[: num_rows * ROW_BYTES]
            self._rows.append((whole.view("<u8").reshape(num_rows, ROW_WORDS), lanes))
        self.add_parts(head, lanes, content[num_rows * ROW_BYTES :])

    def add_parts(self, head: Head, lanes: Words | None, rest: Bytes) -> None:
        """Add an array whose full rows were multiplied elsewhere, such as on a device.

        Args:
            head: Name, dtype label and shape.
            lanes: What ``row_lanes`` gives for the full rows; None where there is none.
            rest: The bytes after the last full row.
        """
        self._heads.append(head)
        if lanes is not None:
            self._lanes.append(lanes)
        self._rest.append(rest.data)
        if rest.size % WORD_BYTES:
            self._rest.append(bytes(-rest.size % WORD_BYTES))

    def hexdigest(self) -> str:
        """Return 16 hex digits."""
        _fill_all(self._rows)
        rest = b"".join(self._rest)
        rest += bytes(-len(rest) % ROW_BYTES)
        tail = row_lanes(np.frombuffer(rest, np.uint8))
        forward, backward = np.concatenate([*self._lanes, tail], axis=1)
        places = _places(len(forward))
        mixed = mix(mix(forward ^ places) + backward)
        total = mixed.sum(dtype=np.uint64, keepdims=True) ^ np.uint64(
            _head_hash(tuple(self._heads))
        )
        return f"{int(mix(total)[0]):016x}"


@lru_cache(maxsize=2)
def _places(count: int) -> Words:
    """Return what tells the places of rows apart."""
    places = pseudo_random(count, seed=0)
    places.flags.writeable = False
    return places


@lru_cache(maxsize=8)
def _head_hash(heads: tuple[Head, ...]) -> int:
    """Hash names, dtypes and shapes; they rarely change from step to step."""
    hasher = hashlib.sha256(b"gradledger.fingerprint/1")
    for name, label, shape in heads:
        hasher.update(f"{len(name)}:{name}|{len(label)}:{label}|{tuple(shape)}".encode())
    return int.from_bytes(hasher.digest()[:WORD_BYTES], "little")


def fingerprint_arrays(items: Iterable[tuple[str, Array]]) -> str:
    """Return the fingerprint of named arrays.

    Args:
        items: Name and array, in an order that matters.

    Returns:
        16 hex digits.

    Raises:
        StorageError: An array holds no plain numbers. Code S124.
    """
    fingerprint = Fingerprint()
    for name, array in items:
        fingerprint.add(name, array)
    return fingerprint.hexdigest()
