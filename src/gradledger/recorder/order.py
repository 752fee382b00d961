"""The recorded order in a replay: a loader's own draws where they are those of the record.

Random numbers are restored in a replay, so a loader draws what it drew: also the batches that the
loop then left unused, of which no record speaks. Its draws are therefore taken as they come, and
what is used of them is compared with the record. Where the very first draw of a pass is not on
record (a sampler that nobody seeded), the pass is fed the recorded batches instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

Batch = tuple[int, ...]

#: Micro-batches ahead of the last used one among which the first draw of a pass is looked for:
#: passes that are open side by side begin before the draws of the others are used.
_LOOK_AHEAD: Final = 64


class RecordEnd(BaseException):
    """Everything that was recorded is executed: ends a loop that goes on nevertheless."""


class RecordedOrder:
    """The micro-batches of a run, and how many of them were used again.

    Args:
        batches: Example numbers of every micro-batch.
        num_used: How many lie before the state that the replay begins with.
    """

    def __init__(self, batches: Sequence[Sequence[int]], num_used: int = 0) -> None:
        self._batches: list[Batch] = [tuple(batch) for batch in batches]
        self._num_used = self._num_fed = num_used
        self._given_back: deque[Batch] = deque()
        self._num_asked_in_vain = 0

    def use(self) -> None:
        """Count one micro-batch that was presented."""
        self._num_used += 1

    def is_ahead(self, examples: Sequence[int]) -> bool:
        """Whether a batch is among the next ones of the record."""
        ahead = self._batches[self._num_used : self._num_used + _LOOK_AHEAD]
        return tuple(examples) in ahead

    def next_batch(self) -> Batch | None:
        """Return the next micro-batch of the record that was not fed; None behind the last.

        Raises:
            RecordEnd: A loop asks again although everything was used.
        """
        if self._given_back:
            return self._given_back.popleft()
        place = max(self._num_fed, self._num_used)
        if place >= len(self._batches):
            self._num_asked_in_vain += self._num_used >= len(self._batches)
            if self._num_asked_in_vain > 1:
                raise RecordEnd
            return None
        self._num_fed = place + 1
        return self._batches[place]

    def give_back(self, batches: Sequence[Sequence[int]]) -> None:
        """Take back what a pass was fed and did not hand out, because it ended early."""
        self._given_back.extendleft(tuple(batch) for batch in reversed(batches))


class Feed:
    """What one pass over a loader hands out.

    Args:
        order: The record.
        num_places: Items of the loader's data set.
        numbers: Turns places in that data set into example numbers.

    Attributes:
        drawn_again: Whether the loader draws what is on record; None before its first draw.
    """

    def __init__(
        self,
        order: RecordedOrder,
        num_places: int,
        numbers: Callable[[Sequence[int]], list[int]],
    ) -> None:
        self._order, self._num_places, self._numbers = order, num_places, numbers
        self._places: dict[int, int] = {}
        self.drawn_again: bool | None = None

    def batch(self, drawn: Sequence[int]) -> list[int] | None:
        """Return the places to load for what the loader drew; None where the record is over."""
        if self.drawn_again is None:
            self.drawn_again = self._order.is_ahead(self._numbers(drawn))
        if self.drawn_again:
            return [int(place) for place in drawn]
        recorded = self._order.next_batch()
        if recorded is None:
            return None
        if not self._places:
            numbers = self._numbers(range(self._num_places))
            self._places = {number: place for place, number in enumerate(numbers)}
        return [self._places[number] for number in recorded]

    def give_back(self, places: Sequence[Sequence[int]]) -> None:
        """Return batches that were fed and not handed out."""
        if self.drawn_again is False:
            self._order.give_back([self._numbers(batch) for batch in places])
