"""One step of a loop that is fed: what it is told about its batch was checked before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gradledger.recorder.presented import count_tokens
from gradledger.recorder.step import MicroBatch, Step


class FedStep(Step):
    """A step whose content was checked when the run was followed the first time."""

    @contextmanager
    def micro_batch(
        self, batch: Any, *, examples: Sequence[int | str] | None = None
    ) -> Iterator[None]:
        """Run one forward and backward pass of a slot."""
        feeder: Any = self._recorder
        numbers = feeder.examples_of(batch, examples, f"step {self.number}")
        micro = MicroBatch(numbers, [], count_tokens(batch, len(numbers)))
        self.micro_batches.append(micro)
        with feeder.forward(self, micro):
            yield
