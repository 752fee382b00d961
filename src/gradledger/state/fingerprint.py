"""Fingerprints: 64 bits over the exact bits of many arrays, cheap enough for every step.

A fingerprint finds accidents: a flipped bit, two swapped values, the sign of a zero. Everything in
it is public, so whoever wants to can forge it; against intent there is the digest.

Shape legend: R rows of 1024 words of 8 bytes.

Each row gives two products (see ``lanes``): that of its words as they are alone would lose the
upper bits of a word (two signs of float64 would cancel), which reversal turns into lower ones. The
two numbers per row are then mixed with the row's place and added up. Bytes that fill no row are
strung together into rows at the end. Names, dtypes and shapes are hashed and mixed in last.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from gradledger.state.arrays import Array, Bytes, byte_view, dtype_label
from gradledger.state.lanes import (
    ROW_BYTES,
    ROW_WORDS,
    WORD_BYTES,
    Memory,
    Words,
    fill_lanes,
    mix,
    pseudo_random,
    row_lanes,
)

#: Name, dtype label and shape of one array.
Head = tuple[str, str, tuple[int, ...]]


class Fingerprint:
    """Collects arrays in order; ``hexdigest`` reads them and gives their fingerprint.

    Attributes:
        lanes: The two products of every row, once ``hexdigest`` was called; shape (2, R).
    """

    def __init__(self) -> None:
        self._heads: list[Head] = []
        self._jobs: list[tuple[Words | Memory, int]] = []
        self._lanes: list[tuple[Words, int]] = []
        self._rest: list[memoryview | bytes] = []
        self._num_rows = 0
        self.lanes: Words = np.empty((2, 0), np.uint64)

    def add(self, name: str, array: Array) -> None:
        """Add an array: every bit counts, and so do name, dtype, shape and place in the order.

        Large arrays are read by ``hexdigest`` only, and must not change before.
        """
        head, content = (name, dtype_label(array.dtype), array.shape), byte_view(array)
        num_rows = content.size // ROW_BYTES
        whole = num_rows * ROW_BYTES
        if num_rows:
            self._take(content[:whole].view("<u8").reshape(num_rows, ROW_WORDS), num_rows)
        self._end(head, content[whole:].data)

    def add_memory(self, head: Head, address: int, num_bytes: int, copy: int) -> int:
        """Add an array by where it lies; ``compiled_reader`` must be there.

        Args:
            head: Name, dtype label and shape.
            address: Where its elements begin, in C order and little-endian: a multiple of 8, of 16
                where they are copied. They must not move or change before ``hexdigest``.
            num_bytes: Their bytes.
            copy: Where their copy begins, a multiple of 16; 0 for none.

        Returns:
            Column of ``lanes`` in which the products of its full rows will begin.
        """
        column = self._num_rows
        whole = num_bytes - num_bytes % ROW_BYTES
        if whole:
            self._take(Memory(address, whole // ROW_BYTES, copy), whole // ROW_BYTES)
        if copy and num_bytes > whole:
            ctypes.memmove(copy + whole, address + whole, num_bytes - whole)
        self._end(head, ctypes.string_at(address + whole, num_bytes - whole))
        return column

    def add_parts(self, head: Head, lanes: Words | None, rest: Bytes) -> None:
        """Add an array whose full rows were multiplied elsewhere, such as on a device.

        Args:
            head: Name, dtype label and shape.
            lanes: What ``row_lanes`` gives for the full rows; None where there is none.
            rest: The bytes after the last full row.
        """
        if lanes is not None:
            self._lanes.append((lanes, self._num_rows))
            self._num_rows += lanes.shape[1]
        self._end(head, rest.data)

    def hexdigest(self) -> str:
        """Return 16 hex digits."""
        rest = b"".join(self._rest)
        rest += bytes(-len(rest) % ROW_BYTES)
        tail = row_lanes(np.frombuffer(rest, np.uint8))
        self.lanes = np.empty((2, self._num_rows + tail.shape[1]), np.uint64)
        fill_lanes(self._jobs, self.lanes)
        for lanes, column in [*self._lanes, (tail, self._num_rows)]:
            self.lanes[:, column : column + lanes.shape[1]] = lanes
        forward, backward = self.lanes
        mixed = mix(mix(forward ^ _places(len(forward))) + backward)
        total = mixed.sum(dtype=np.uint64, keepdims=True) ^ np.uint64(
            _head_hash(tuple(self._heads))
        )
        return f"{int(mix(total)[0]):016x}"

    def _take(self, rows: Words | Memory, num_rows: int) -> None:
        self._jobs.append((rows, self._num_rows))
        self._num_rows += num_rows

    def _end(self, head: Head, rest: memoryview | bytes) -> None:
        self._heads.append(head)
        self._rest.append(rest)
        if len(rest) % WORD_BYTES:
            self._rest.append(bytes(-len(rest) % WORD_BYTES))


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
