"""What a settling pass has found so far, on the disk: where it goes on after a kill.

A pass is bit for bit the recorded run, so that it can go on at any recorded state. What it took
from the steps before lies in one file for each stretch between two stored states, outside the run,
and is fed to the targets again in place of executing those steps.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradledger.segment import make_folder, write_bytes_atomic

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SettledStep:
    """What was taken from one step.

    Attributes:
        step: Its number.
        dots: Shape (active vectors, visits, groups).
        lines: Rows (target, place, column, line, value) of line contributions.
    """

    step: int
    dots: Floats
    lines: Floats


class SettledParts:
    """The stretches of one pass.

    Args:
        folder: Of this pass alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._now: list[SettledStep] = []

    def last(self, stored: list[int]) -> int:
        """Return the stored step up to which stretches lie there without a gap; 0 for none."""
        reached = 0
        for start, stop in pairwise(stored):
            if not self._path(start, stop).is_file():
                break
            reached = stop
        return reached

    def read(self, stored: list[int], until: int) -> Iterator[SettledStep]:
        """Give what was taken from every step up to a stored one."""
        for start, stop in pairwise(stored):
            if stop > until:
                return
            with np.load(self._path(start, stop), allow_pickle=False) as arrays:
                for step in range(start + 1, stop + 1):
                    yield SettledStep(step, arrays[f"dots/{step}"], arrays[f"lines/{step}"])

    def add(self, found: SettledStep) -> None:
        """Take what a step gave."""
        self._now.append(found)

    def close_part(self, start: int, stop: int) -> None:
        """Write the stretch that ends here."""
        buffer = io.BytesIO()
        arrays = {f"dots/{found.step}": found.dots for found in self._now}
        arrays |= {f"lines/{found.step}": found.lines for found in self._now}
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        make_folder(self._folder)
        write_bytes_atomic(self._path(start, stop), buffer.getvalue())
        self._now = []

    def clear(self) -> None:
        """Remove everything: the pass is over."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, start: int, stop: int) -> Path:
        return self._folder / f"steps-{start:09d}-{stop:09d}.npz"
