"""The recorder: ``record``, ``admit``, ``batches``, ``step``, ``close`` are all that loops call."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn, optim
from torch.utils.hooks import RemovableHandle

from gradledger.errors import InputError
from gradledger.gradient import Capture, coupled_modules
from gradledger.recorder.batches import noteworthy
from gradledger.recorder.booking import Booker
from gradledger.recorder.buffers import BufferGroups
from gradledger.recorder.checks import refuse_leftovers
from gradledger.recorder.examples import AdmittedDataset, Examples
from gradledger.recorder.first_forward import FirstForward
from gradledger.recorder.groups import Grouping
from gradledger.recorder.handed import HandedBatches
from gradledger.recorder.journal import Journal
from gradledger.recorder.passes import Passes
from gradledger.recorder.row_probe import RowProbe
from gradledger.recorder.scaling import loss_scale, overflowed
from gradledger.recorder.stateful import StatefulObjects
from gradledger.recorder.step import MicroBatch, Step
from gradledger.recorder.stream import Describe, stream_batches
from gradledger.recorder.update_call import run_closure, step_of_update
from gradledger.recorder.weights import DepthWeights


class Recorder:
    """Watches one model train with one optimizer and feeds a journal.

    Attributes:
        model: The model.
        optimizer: Its optimizer.
        grouping: Parameter groups and coverage.
        capture: Per-example gradients of the current step.
        booker: The books.
        buffers: Buffer groups.
        weights: Depth weights by profile.
        examples: Everything that was shown to ``admit``.
        passes: How far each pass over a loader is.
        objects: Further objects whose states are stored.
        num_steps: Steps that stand; a resumed run begins with those of its last state.
        runs_closures: Whether closures are run just before ``optimizer.step``, not refused.
        last_examples: Example numbers of the batch that ``batches`` yielded last.
        mixed: What was found to mix rows, and accepted.
        is_resumed: Whether there were steps when it began.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: optim.Optimizer,
        *,
        grouping: Grouping,
        booker: Booker,
        buffers: BufferGroups,
        weights: DepthWeights,
        probe: RowProbe | None,
        journal: Journal,
    ) -> None:
        self.model, self.optimizer, self.grouping = model, optimizer, grouping
        self.booker, self.buffers, self.weights = booker, buffers, weights
        self.capture: Capture = booker.capture
        self.examples = Examples()
        self.passes, self.objects = Passes(), StatefulObjects()
        self.num_steps, self.mixed = 0, list[str]()
        self._journal = journal
        self._step: Step | None = None
        self._routed: set[int] = set()
        self._handed, self.last_examples = HandedBatches(), list[int]()
        self._closed = self.runs_closures = False
        self._handles: list[RemovableHandle | FirstForward] = [
            optimizer.register_step_pre_hook(self._before_update),
            optimizer.register_step_post_hook(self._after_update),
        ]
        if probe is not None:
            self._handles.append(FirstForward(self, probe))
        self.capture.attach()
        try:
            journal.open(self)
        except BaseException:
            self._release()
            raise
        self.is_resumed = self.num_steps > 0

    # -- the five calls -------------------------------------------------------------------

    def admit(self, dataset: Any, metadata: Any = None) -> AdmittedDataset:
        """Decide which items of a data set may be presented, and keep those.

        Args:
            dataset: A map-style data set.
            metadata: One row per item, in order: an Arrow table, a mapping of columns or a data
                frame. A column ``key`` names items, ``source`` says where they came from.

        Returns:
            The admitted items, as a data set for the loader.

        Raises:
            InputError: The metadata does not fit (I103).
            PolicyError: The metadata lacks what the policy needs.
            GradientError: A profile in force cannot be enforced on this model (G102, G104).
        """
        return self._journal.admit(self, dataset, metadata)

    def batches(self, loader: Iterable[Any], describe: Describe | None = None) -> Iterator[Any]:
        """Feed the loader's batches, knowing which examples each one holds.

        In a resumed run, passes and batches that count already are left out.

        Args:
            loader: Over what ``admit`` returned, or a ``Subset`` of it; or any batches, described.
            describe: For streams: returns the metadata of a batch, which is admitted as it comes.
        """
        if describe is not None:
            return self._feed(stream_batches(self, loader, describe))
        loader, order = noteworthy(loader), self._journal.order()
        return self._feed(self.passes.feed(loader, order, self._between_steps))

    def track(self, **objects: Any) -> None:
        """Keep further objects, by name, in every model state: schedulers, averages, generators.

        Raises:
            InputError: An object has no state, or its name is taken. Code I104.
        """
        self.objects.add(objects)

    def step(self, batch: Any = None, *, examples: Sequence[int | str] | None = None) -> Step:
        """Book one optimizer step: ``with run.step(batch): ...``.

        Args:
            batch: What ``batches`` yielded; None to open micro-batches one by one.
            examples: Example numbers or ids of a batch from elsewhere.
        """
        return Step(self, self.num_steps + 1, batch, examples)

    def close(self) -> None:
        """Seal and close the run. A second call does nothing."""
        if not self._closed:
            self._release()
            self._journal.close(self)

    def __enter__(self) -> Recorder:
        """Use the recorder as a context: closed at the end, aborted on an error."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close after success; after an error keep what is complete and write no end record."""
        if kind is None:
            self.close()
        elif not self._closed:
            self._release()
            self._journal.abort()

    def balance(self) -> str:
        """Say in a few words how the books stand, for progress bars."""
        return self._journal.balance()

    # -- what a step asks -----------------------------------------------------------------

    @property
    def open_step(self) -> Step | None:
        """The step that is being recorded; None between steps."""
        return self._step

    def coupled(self) -> list[str]:
        """Name what couples the rows of a batch right now: modules, or the loss."""
        return [*coupled_modules(self.model), *self.mixed]

    def begin_step(self, step: Step) -> None:
        """Check that a step may begin, and note the state before it."""
        if self._closed or self._step is not None:
            raise InputError(
                "I106",
                observed="a step inside another" if self._step else "a step of a closed run",
                expected="one step at a time, between gl.record and run.close",
                where=f"step {step.number}",
            )
        self._between_steps()
        entries = [entry for group in self.booker.tracked for entry in group]
        refuse_leftovers(entries, f"step {step.number}")
        self.booker.watch()
        self._journal.begin_step(self, step)
        self.buffers.snapshot()
        self._step, self._routed = step, set()

    def examples_of(
        self, batch: Any, examples: Sequence[int | str] | None, where: str
    ) -> NDArray[np.int32]:
        """Return the example numbers of a batch.

        Raises:
            InputError: None are known (I105), or they were not admitted (I101).
        """
        if examples is None:
            examples = self._handed.use(batch)
            if examples is None:
                raise InputError(
                    "I105",
                    observed=f"a batch of type {type(batch).__name__} from elsewhere",
                    expected="an object that run.batches(loader) yielded lately",
                    where=where,
                    hint="pass that object, or name the examples: run.step(batch, examples=[...])",
                )
        return self.examples.resolve(examples, where)

    def commit(self, number: int, digest: bytes) -> bytes:
        """Return the keyed commitment to content that is presented as an example."""
        return self._journal.commit(self.examples.sources[number], digest)

    def present(self, step: Step, micro: MicroBatch) -> None:
        """Show the journal what the model is about to see."""
        self._journal.presented(step, micro)

    def weights_of(
        self, numbers: NDArray[np.int32], *, accumulated: bool = False
    ) -> Mapping[int, Tensor]:
        """Return depth weights of the tensors that are routed for the examples of a micro-batch.

        Args:
            numbers: The examples.
            accumulated: Whether its step may have further micro-batches.

        Raises:
            GradientError: Rows are coupled and a profile is not full. Code G102.
        """
        profiles = self.examples.profile[numbers]
        self.weights.refuse_coupled(profiles, self.coupled)
        device = next(self.model.parameters()).device
        routed = self.weights.for_batch(profiles, device, accumulated=accumulated)
        self._routed |= routed.keys()
        self.booker.keep_raw_for(routed=bool(self._routed))
        return routed

    def end_step(self, step: Step) -> None:
        """Write the step down."""
        self.num_steps += 1
        self._step = None
        try:
            self._journal.end_step(self, step)
        finally:
            self.booker.clear()
            self._handed.forget_used()

    def abandon_step(self) -> None:
        """Forget a step that ended in an error."""
        self._step = None
        self.booker.clear()

    # -- hooks ----------------------------------------------------------------------------

    def _before_update(self, _optimizer: optim.Optimizer, args: Any, kwargs: Any) -> Any:
        if self.runs_closures and self._step is not None:
            args, kwargs = run_closure(args, kwargs)
        started = time.perf_counter()
        step = step_of_update(self._step, self.num_steps, args, kwargs)
        self.booker.loss_scale = loss_scale(self.optimizer, self.objects.values())
        self.booker.before_update(frozenset(self._routed), f"step {step.number}")
        self._journal.before_update(step)
        step.record_seconds += time.perf_counter() - started
        return args, kwargs

    def _after_update(self, _optimizer: optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        step = self._step
        if step is not None and not overflowed(self.optimizer):
            started, step.updated = time.perf_counter(), True
            sizes = [len(micro) for micro in step.micro_batches]
            self._journal.book(self, step, sizes, frozenset(self._routed))
            step.record_seconds += time.perf_counter() - started

    def _between_steps(self) -> bool:
        return self._step is None and self._journal.between_steps(self)

    def _feed(self, feed: Generator[tuple[Any, list[int]]]) -> Iterator[Any]:
        with closing(feed):
            for batch, numbers in feed:
                self._handed.add(batch, numbers)
                self.last_examples = numbers
                yield batch

    def _release(self) -> None:
        self._closed = True
        self.capture.detach()
        self.booker.detach()
        for handle in self._handles:
            handle.remove()
