"""Products of rows: what a fingerprint keeps of 1024 words.

Each row is multiplied with two fixed vectors of odd weights, modulo 2**64, once as it is and once
with the bytes of every word reversed. NumPy's form serves everywhere and is the reference for the
compiled pass, which gives the same bits.

Shape legend: R rows of 1024 words of 8 bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradledger.native import CompiledPasses, compiled_passes, share
from gradledger.state.arrays import Bytes

Words = NDArray[np.uint64]

#: Words of a row.
ROW_WORDS: Final = 1024
WORD_BYTES: Final = 8
ROW_BYTES: Final = ROW_WORDS * WORD_BYTES
#: Compiled copies begin at multiples of this, in bytes.
COPY_BYTES: Final = 16

#: Rows per pass: 1 MiB, so that the second product finds the rows in the cache.
_BLOCK_ROWS: Final = 128
#: Rows from which on a second thread pays (8 MiB), and the grain in which they are shared.
_THREADED_ROWS: Final = 1024
_PART_ROWS: Final = 512

# Constants of splitmix64 (Steele, Lea and Flood, 2014).
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


class Memory(NamedTuple):
    """Rows where they lie, for the compiled pass alone: see ``compiled_reader``.

    Attributes:
        address: Where the first one begins, a multiple of 8; of 16 where they are copied.
        num_rows: How many there are.
        copy: Where their copy begins, a multiple of 16; 0 for no copy.
    """

    address: int
    num_rows: int
    copy: int


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
    _multiply(rows, lanes)
    return lanes


def compiled_reader() -> CompiledPasses | None:
    """Return what reads rows where they lie; None where there is no compiler for it."""
    return compiled_passes() if sys.byteorder == "little" else None


def fill_lanes(jobs: Sequence[tuple[Words | Memory, int]], lanes: Words) -> None:
    """Multiply the rows of many arrays, and copy those in memory that have a place for it.

    Args:
        jobs: Rows, shape (R, 1024) or where they lie, and the column of ``lanes`` in which their
            products begin.
        lanes: Shape (2, R of all), C-contiguous.
    """
    reader = compiled_reader()
    placed: list[tuple[Memory, int]] = []
    rest: list[tuple[Words, int]] = []
    for rows, column in jobs:
        if isinstance(rows, Memory):
            placed.append((rows, column))
        elif reader is not None and rows.flags.aligned:
            placed.append((Memory(rows.ctypes.data, len(rows), 0), column))
        else:
            rest.append((rows, column))
    if placed and reader is not None:
        _fill_compiled(reader, placed, lanes)
    _fill_plain(rest, lanes)


def _fill_compiled(
    reader: CompiledPasses, jobs: Sequence[tuple[Memory, int]], lanes: Words
) -> None:
    forward, backward = row_weights()
    first = lanes.ctypes.data
    second = first + lanes.strides[0]
    reader.row_lanes(
        [
            (
                rows.address,
                rows.num_rows,
                first + column * WORD_BYTES,
                second + column * WORD_BYTES,
                rows.copy,
            )
            for rows, column in jobs
        ],
        (forward.ctypes.data, backward.ctypes.data),
        threaded=sum(rows.num_rows for rows, _ in jobs) >= _THREADED_ROWS,
    )


def _fill_plain(jobs: Sequence[tuple[Words, int]], lanes: Words) -> None:
    parts: list[Callable[[], None]] = []
    for rows, column in jobs:
        for start in range(0, len(rows), _PART_ROWS):
            part = rows[start : start + _PART_ROWS]
            into = lanes[:, column + start : column + start + len(part)]
            parts.append(partial(_multiply, part, into))
    num_rows = sum(len(rows) for rows, _ in jobs)
    share(parts, 2 if num_rows >= _THREADED_ROWS else 1)


def _multiply(rows: Words, lanes: Words) -> None:
    forward, backward = row_weights()
    reverse = rows.view(">u8")
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        # einsum on integers is a plain vectorised loop, and wraps modulo 2**64.
        np.einsum("ij,j->i", rows[block], forward, out=lanes[0, block])
        np.einsum("ij,j->i", reverse[block], backward, out=lanes[1, block])
