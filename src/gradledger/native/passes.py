"""The compiled passes as functions over addresses: one call reads a whole tensor once.

Without them some thirty operations read and write the same memory one after the other. Callers keep
their own form in torch, which serves wherever there is no compiler, on other devices, and as the
reference in tests.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache, partial
from typing import Final

from gradledger.native.build import Library, load
from gradledger.native.law import INPUTS, SLOTS, InputsStruct, Law, LawStruct
from gradledger.native.team import share

#: No flag that lets arithmetic be reordered beyond the sums that the source marks.
PASSES: Final = Library(
    "passes",
    ("passes.c", "passes.h"),
    ("-march=native", "-fopenmp-simd", "-fno-math-errno"),
)

#: Elements from which on a second thread pays.
_THREADED: Final = 1 << 17
#: Threads begin at multiples of this, so that no block is shared.
_GRAIN: Final = 1024
#: Rows of a fingerprint that one thread takes at a time: 4 MiB.
_PART_ROWS: Final = 512


class CompiledPasses:
    """The passes of one library.

    Args:
        library: As ``build.load`` returns it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def measure_lines(
        self,
        addresses: Mapping[str, int],
        law: Law,
        length: int,
        *,
        double: bool,
        num_threads: int,
    ) -> dict[str, tuple[float, float]]:
        """Measure the lines of one tensor and carry its accounts.

        Args:
            addresses: Where each of ``INPUTS`` lies, contiguous; 0 for none.
            law: The numbers of the law.
            length: Elements of the tensor.
            double: Whether all of them are float64; else float32.
            num_threads: Threads that may be used; more than two are not.

        Returns:
            Squared norm and inner product with the change by slot.
        """
        function = self._library.measure_lines_f64 if double else self._library.measure_lines_f32
        inputs = InputsStruct(**{name: addresses[name] or None for name in INPUTS})
        numbers = LawStruct(**{field.name: getattr(law, field.name) for field in fields(Law)})

        def run(start: int, stop: int) -> list[float]:
            sums = (ctypes.c_double * (2 * len(SLOTS)))()
            function(
                ctypes.byref(inputs),
                ctypes.byref(numbers),
                ctypes.c_long(start),
                ctypes.c_long(stop),
                sums,
            )
            return list(sums)

        total = self._added(run, length, num_threads)
        return {name: (total[2 * i], total[2 * i + 1]) for i, name in enumerate(SLOTS)}

    def compare(
        self, used: int, raw: int, length: int, *, double: bool, num_threads: int
    ) -> tuple[float, float, bool]:
        """Return <used, raw>, <raw, raw>, and whether both hold the same bits."""
        function = self._library.compare_f64 if double else self._library.compare_f32

        def run(start: int, stop: int) -> list[float]:
            sums = (ctypes.c_double * 3)()
            function(
                ctypes.c_void_p(used),
                ctypes.c_void_p(raw),
                ctypes.c_long(start),
                ctypes.c_long(stop),
                sums,
            )
            return list(sums)

        cross, square, others = self._added(run, length, num_threads)
        return cross, square, others == 0

    def weigh(
        self,
        after: int,
        before: int,
        scale: int,
        factor: float,
        out: int,
        length: int,
        *,
        double: bool,
        num_threads: int,
    ) -> None:
        """Write factor * scale * (after - before); a scale of address 0 is a scale of one."""
        function = self._library.weigh_f64 if double else self._library.weigh_f32

        def run(start: int, stop: int) -> list[float]:
            function(
                ctypes.c_void_p(after),
                ctypes.c_void_p(before),
                ctypes.c_void_p(scale or None),
                ctypes.c_double(factor),
                ctypes.c_void_p(out),
                ctypes.c_long(start),
                ctypes.c_long(stop),
            )
            return []

        self._added(run, length, num_threads)

    def distance(
        self, before: int, after: int, length: int, *, double: bool, num_threads: int
    ) -> float:
        """Return the squared norm of after - before."""
        function = self._library.distance_f64 if double else self._library.distance_f32

        def run(start: int, stop: int) -> list[float]:
            total = ctypes.c_double(0.0)
            function(
                ctypes.c_void_p(before),
                ctypes.c_void_p(after),
                ctypes.c_long(start),
                ctypes.c_long(stop),
                ctypes.byref(total),
            )
            return [total.value]

        (square,) = self._added(run, length, num_threads)
        return square

    def inverse_root(
        self, values: int, floor: float, out: int, length: int, *, double: bool, num_threads: int
    ) -> None:
        """Write 1 / (sqrt(value) + floor), each operation rounded to the nearest number."""
        function = self._library.inverse_root_f64 if double else self._library.inverse_root_f32

        def run(start: int, stop: int) -> list[float]:
            function(
                ctypes.c_void_p(values),
                ctypes.c_double(floor),
                ctypes.c_void_p(out),
                ctypes.c_long(start),
                ctypes.c_long(stop),
            )
            return []

        self._added(run, length, num_threads)

    def measure_rows(
        self,
        rows: int,
        num_rows: int,
        length: int,
        others: tuple[int, int, int],
        *,
        double: bool,
        num_threads: int,
    ) -> tuple[list[float], list[float]]:
        """Measure a few rows and add them to a weighted sum.

        Args:
            rows: Where the rows lie, one behind the other.
            num_rows: How many there are.
            length: Elements of a row.
            others: Where the direction, the weights and the sum lie.
            double: Whether all of it is float64; else float32.
            num_threads: Threads that may be used; more than two are not.

        Returns:
            Inner product of each row with the direction, and its squared norm.
        """
        function = self._library.measure_rows_f64 if double else self._library.measure_rows_f32
        direction, weights, total = (ctypes.c_void_p(address) for address in others)

        def run(start: int, stop: int) -> list[float]:
            sums = (ctypes.c_double * (2 * num_rows))()
            function(
                ctypes.c_void_p(rows),
                ctypes.c_long(num_rows),
                ctypes.c_long(length),
                direction,
                weights,
                total,
                ctypes.c_long(start),
                ctypes.c_long(stop),
                sums,
                ctypes.byref(sums, 8 * num_rows),
            )
            return list(sums)

        found = self._added(run, length, num_threads, num_rows)
        return found[:num_rows], found[num_rows:]

    def row_lanes(
        self,
        jobs: Sequence[tuple[int, int, int, int, int]],
        weights: tuple[int, int],
        *,
        threaded: bool,
    ) -> None:
        """Multiply rows of 1024 words with two vectors of weights, modulo 2**64.

        Args:
            jobs: For each array where its rows lie (a multiple of eight), how many there are, and
                where the products go: of words as they are, and of words with reversed bytes; and
                where a copy of the rows goes, 0 for none. With a copy both are multiples of 16.
            weights: Where the two vectors of weights lie.
            threaded: Whether a second thread takes part.
        """
        share(
            [partial(self._row_lanes, part, weights) for part in _parts(jobs)], 2 if threaded else 1
        )

    def _row_lanes(self, parts: Sequence[tuple[int, ...]], weights: tuple[int, int]) -> None:
        function = self._library.row_lanes
        ways = [ctypes.c_void_p(address) for address in weights]
        for rows, _, as_is, reverse, copy, start, stop in parts:
            function(
                ctypes.c_void_p(rows),
                *ways,
                ctypes.c_void_p(as_is),
                ctypes.c_void_p(reverse),
                ctypes.c_void_p(copy or None),
                ctypes.c_long(start),
                ctypes.c_long(stop),
            )

    def _added(
        self,
        run: Callable[[int, int], list[float]],
        length: int,
        num_threads: int,
        times: int = 1,
    ) -> list[float]:
        """Run over a tensor, in two halves at once where that pays, and add up what they give."""
        if num_threads == 1 or length * times < _THREADED:
            return run(0, length)
        middle = math.ceil(length / 2 / _GRAIN) * _GRAIN
        first, second = share([partial(run, 0, middle), partial(run, middle, length)], 2)
        return [a + b for a, b in zip(first, second, strict=True)]


def _parts(jobs: Sequence[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Cut rows into parts of equal size; how long one takes depends on the copies in it."""
    part: list[tuple[int, ...]] = []
    room = _PART_ROWS
    for job in jobs:
        start = 0
        while start < job[1]:
            stop = min(job[1], start + room)
            part.append((*job, start, stop))
            room, start = room - (stop - start), stop
            if not room:
                yield part
                part, room = [], _PART_ROWS
    if part:
        yield part


@cache
def compiled_passes() -> CompiledPasses | None:
    """Return the compiled passes of this machine; None where they cannot be built."""
    library = load(PASSES)
    return None if library is None else CompiledPasses(library)
