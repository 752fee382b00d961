"""One recorded step over several micro-batches, where a framework decides when the step ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gradledger.recorder import Recorder
from gradledger.recorder.step import Step

__all__ = ["Accumulation"]


class Accumulation:
    """Opens a step with its first micro-batch; the framework says when it is over.

    Args:
        run: The run.
    """

    def __init__(self, run: Recorder) -> None:
        self._run = run
        self._step: Step | None = None

    @contextmanager
    def micro_batch(self, batch: Any, examples: Sequence[int]) -> Iterator[None]:
        """Record one forward and backward pass."""
        if self._step is None:
            self._step = self._run.step()
            self._step.__enter__()
        try:
            with self._step.micro_batch(batch, examples=examples):
                yield
        except BaseException:
            self.abandon()
            raise

    def end_step(self) -> None:
        """Book the step; call it when gradients are zero again. Nothing where none is open."""
        if self._step is not None:
            step, self._step = self._step, None
            step.__exit__(None, None, None)

    def abandon(self) -> None:
        """Forget a step that was not finished."""
        if self._step is not None:
            self._step = None
            self._run.abandon_step()
