"""Batches that were handed out, until they are used: loops look ahead, pair them, or leave some."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

#: Batches that are remembered at most; a loop that only looks at batches must not fill the memory.
_MOST: Final = 64


class HandedBatches:
    """What ``run.batches`` yielded lately, with the examples of each."""

    def __init__(self) -> None:
        self._handed: deque[tuple[Any, list[int]]] = deque(maxlen=_MOST)
        self._last_used: Any = None

    def add(self, batch: Any, examples: list[int]) -> None:
        """Remember a batch that is about to be yielded."""
        self._handed.append((batch, examples))

    def use(self, batch: Any) -> list[int] | None:
        """Return the examples of a batch; None where it was not yielded, or is forgotten."""
        for known, examples in self._handed:
            if known is batch:
                self._last_used = batch
                return examples
        return None

    def forget_used(self) -> None:
        """Forget the last batch that was used, and all that were yielded before it."""
        if self._last_used is None:
            return
        while self._handed and self._handed.popleft()[0] is not self._last_used:
            continue
        self._last_used = None
