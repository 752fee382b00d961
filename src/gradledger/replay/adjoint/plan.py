"""Which states are kept while a run is followed, so that it can be gone through backwards.

Going backwards needs the state before every step. Kept are those that fit into memory; the others
are computed again, one segment at a time, from the state at its start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gradledger.replay.adjoint.feed import Slot


@dataclass(frozen=True)
class Plan:
    """Segments of a run.

    Attributes:
        bounds: Steps after which a segment begins, ascending, and the last step.
    """

    bounds: tuple[int, ...]

    @property
    def segments(self) -> list[tuple[int, int]]:
        """Pairs (step before the first, last step)."""
        return list(pairwise(self.bounds))

    @property
    def num_kept(self) -> int:
        """States in memory at most: those that segments begin with and one segment's own."""
        return len(self.segments) - 1 + max(stop - start for start, stop in self.segments)

    @property
    def num_recomputed(self) -> int:
        """Steps that are taken twice; those of the last segment are not."""
        return self.segments[-1][0] - self.bounds[0]

    @property
    def num_steps(self) -> int:
        """Steps that are gone through backwards."""
        return self.bounds[-1] - self.bounds[0]

    def forward(self) -> list[Slot]:
        """Return the slots that follow the run once."""
        first, last = self.bounds[0] + 1, self.bounds[-1]
        return [Slot(step, reverse=False) for step in range(first, last + 1)]

    def backward(self, stop: int | None = None) -> list[Slot]:
        """Return the slots that go back through it.

        Args:
            stop: Begin after the segment that ends here, where later ones are done already.
        """
        slots: list[Slot] = []
        for start, end in reversed(self.segments):
            if stop is not None and end > stop:
                continue
            if end != self.bounds[-1]:
                slots += [Slot(step, reverse=False) for step in range(start + 1, end + 1)]
            slots += [Slot(step, reverse=True) for step in range(end, start, -1)]
        return slots


def plan_segments(last_step: int, num_states: int, since: int = 0) -> Plan:
    """Return segments with as little computed again as memory allows.

    Args:
        last_step: Last step of the run.
        num_states: States that fit; fewer than about 2 sqrt(T) are taken for that many, where T is
            the number of steps that are gone through.
        since: Step after which the first segment begins, below ``last_step``.
    """
    num_steps = last_step - since
    least = math.ceil(math.sqrt(num_steps))
    length = least
    for candidate in range(num_steps, least, -1):
        if math.ceil(num_steps / candidate) - 1 + candidate <= num_states:
            length = candidate
            break
    # The last segment is the longest: its states are kept the first time.
    bounds: Sequence[int] = [*range(last_step, since, -length), since]
    return Plan(tuple(reversed(bounds)))
