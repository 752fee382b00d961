"""One step of training, from the batch to the booked update."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradledger.errors import InputError
from gradledger.recorder.content_check import commit_rows
from gradledger.recorder.presented import count_tokens, row_digests

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder


class MicroBatch:
    """The visits of one forward and backward pass.

    Attributes:
        examples: Example numbers, in batch order.
        digests: Commitment to the tensors presented, 32 bytes each.
        tokens: Tokens per visit; None where the batch has no token axis.
        losses: Loss per visit in nats; None where the caller gave none.
    """

    def __init__(
        self, examples: NDArray[np.int32], digests: list[bytes], tokens: list[int] | None
    ) -> None:
        self.examples, self.digests, self.tokens = examples, digests, tokens
        self.losses: list[float] | None = None

    def __len__(self) -> int:
        return len(self.examples)


class Step:
    """What ``run.step(batch)`` gives: books one optimizer step.

    With a batch it is one micro-batch; without, open each with ``step.micro_batch(batch)``.
    """

    def __init__(
        self, recorder: Recorder, number: int, batch: Any, examples: Sequence[int | str] | None
    ) -> None:
        self._recorder, self._batch, self._examples = recorder, batch, examples
        self.number = number
        self.micro_batches: list[MicroBatch] = []
        self.loss: float | None = None
        self.updated = False
        self.record_seconds = 0.0
        self.started = time.perf_counter()
        self._open: Any = None

    def __enter__(self) -> Step:
        """Check the batch before anything is changed, then start capture."""
        self._recorder.begin_step(self)
        self.record_seconds += time.perf_counter() - self.started
        if self._batch is not None:
            self._open = self.micro_batch(self._batch, examples=self._examples)
            try:
                self._open.__enter__()
            except BaseException:
                self._recorder.abandon_step()
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Book the step; after an error nothing is booked."""
        if self._open is not None:
            self._open.__exit__(kind, error, trace)
        if kind is None:
            self._recorder.end_step(self)
        else:
            self._recorder.abandon_step()

    @contextmanager
    def micro_batch(
        self, batch: Any, *, examples: Sequence[int | str] | None = None
    ) -> Iterator[None]:
        """Capture one forward and backward pass of an accumulated step.

        Args:
            batch: What ``run.batches`` yielded.
            examples: Example numbers or ids, where the batch did not come from ``run.batches``.

        Raises:
            InputError: The batch names no examples (I105), unknown ones (I101), or its content is
                not what was admitted (I102).
        """
        recorder, where = self._recorder, f"step {self.number}"
        started = time.perf_counter()
        numbers = recorder.examples_of(batch, examples, where)
        digests = commit_rows(recorder, row_digests(batch, len(numbers)), numbers, where)
        micro = MicroBatch(numbers, digests, count_tokens(batch, len(numbers)))
        recorder.present(self, micro)
        weights = recorder.weights_of(numbers, accumulated=self._batch is None)
        self.micro_batches.append(micro)
        self.record_seconds += time.perf_counter() - started
        with recorder.capture.micro_batch(len(micro), weights):
            yield

    def losses(self, values: Tensor) -> None:
        """Note the loss of every visit of the current micro-batch, in nats; booked beside them."""
        flat = values.detach().double().flatten().tolist()
        micro = self.micro_batches[-1]
        if len(flat) != len(micro):
            raise InputError(
                "I102",
                observed=f"{len(flat)} losses",
                expected=f"{len(micro)}, one per visit",
                where=f"step {self.number}",
                hint="pass one loss per example, such as the mean over its tokens",
            )
        micro.losses = flat
        total = [value for part in self.micro_batches for value in part.losses or ()]
        self.loss = sum(total) / len(total)
