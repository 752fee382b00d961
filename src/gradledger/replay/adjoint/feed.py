"""Feeding recorded steps to the recorded loop in any order.

The user's loop is a function that trains from the first step to the last. Its body, between
``run.step(batch)`` and ``optimizer.step()``, is the training step, and nothing but the batch, the
model's state and the random numbers decide what it computes. So the loop is left as it is, and the
batches that it is given are those of the steps that are wanted, with the state of the model set
before each. When the loop ends before everything is fed, it is begun again; when everything is
fed, it is left by an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, optim
from torch.nn.attention import SDPBackend, sdpa_kernel

from gradledger.errors import InputError, ReplayError
from gradledger.recorder.order import RecordedOrder
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import MicroBatch, Step
from gradledger.replay.adjoint.curved import Curved
from gradledger.replay.adjoint.fed_step import FedStep
from gradledger.replay.adjoint.intercept import intercepted_backward
from gradledger.replay.intervene import Interventions
from gradledger.replay.recorded import RecordedRun
from gradledger.schema import Intervention


@dataclass(frozen=True)
class Slot:
    """One execution of a step.

    Attributes:
        step: Number of the recorded step.
        reverse: Whether it is differentiated; else it is taken.
    """

    step: int
    reverse: bool


class Director(Protocol):
    """What decides the state before each slot and looks at what the loop does in it."""

    def begin(self, recorder: Feeder, slot: Slot) -> None:
        """Set the state before the step."""

    def micro_batch(self, recorder: Feeder, slot: Slot, micro: MicroBatch) -> None:
        """Note the visits of a micro-batch of a reverse slot, before the forward pass."""

    def backward(self, recorder: Feeder, losses: Sequence[Tensor], grads: Any) -> None:
        """Differentiate in place of ``backward`` in a reverse slot."""

    def before_update(self, recorder: Feeder, slot: Slot) -> None:
        """Look at the gradients before the optimizer does."""

    def after_update(self, recorder: Feeder, slot: Slot) -> None:
        """Put back what the optimizer was not to see."""

    def end(self, recorder: Feeder, slot: Slot) -> None:
        """Look at the state after the step."""


class AllFed(BaseException):
    """Leaves the user's loop when every slot was executed; no error, so no ``Exception``."""


class SlotOrder(RecordedOrder):
    """The order in which slots present their micro-batches, whatever a loader draws."""

    def __init__(self, batches: Iterator[list[int]]) -> None:
        super().__init__(())
        self._wanted = batches

    def is_ahead(self, examples: Sequence[int]) -> bool:  # noqa: ARG002 - as RecordedOrder
        """Never take what a loader draws: slots are fed."""
        return False

    def next_batch(self) -> tuple[int, ...]:
        """Return the next micro-batch.

        Raises:
            AllFed: There is none.
        """
        return tuple(next(self._wanted))

    def give_back(self, batches: Sequence[Sequence[int]]) -> None:
        """Do nothing: the next pass is fed from where the loop is."""


class FeedingJournal(Interventions):
    """Feeds the micro-batches of the slots that are still to be executed.

    Attributes:
        slots: All of them, in order.
        position: Number of the slot that is fed next.
        num_taken: Micro-batches of that slot that the loop has had.
    """

    def __init__(self, run: RecordedRun, intervention: Intervention) -> None:
        super().__init__(run, intervention)
        self.slots: list[Slot] = []
        self.position = self.num_taken = 0
        self._batches: dict[int, dict[int, list[int]]] = {}
        for visit in run.visits:
            micro = self._batches.setdefault(visit.step, {})
            micro.setdefault(visit.micro_batch, []).append(visit.example)
        self._seen_content = False
        self._num_items = 0

    def feed(self, slots: Sequence[Slot]) -> None:
        """Set what is executed next."""
        self.slots, self.position, self.num_taken = list(slots), 0, 0
        self.restart()

    def restart(self) -> None:
        """Be ready for the loop to begin again: it shows its data from the first item on."""
        self._num_items = 0

    def order(self) -> SlotOrder:
        """Feed from where the loop is; the end of the slots ends the loop."""
        return SlotOrder(self._order_from(self.position, self.num_taken))

    def _order_from(self, position: int, num_taken: int) -> Iterator[list[int]]:
        for slot in self.slots[position:]:
            yield from list(self._batches[slot.step].values())[num_taken:]
            num_taken = 0
        raise AllFed

    def _compare_content(self, *given: Any) -> None:
        if not self._seen_content:
            super()._compare_content(*given)

    def loop_ended(self) -> None:
        """Contents were compared once; that is enough."""
        self._seen_content = True

    def note_step(self, recorder: Recorder, step: int) -> None:
        """Tell which step's learning rates hold, and which profiles decide what is routed."""
        self._step = step
        self._enforce(recorder, step)

    def set_recorded_rates(self, optimizer: optim.Optimizer) -> None:
        """Set the learning rates of the noted step."""
        self._set_rates(optimizer, (), {})

    def compare(self, recorder: Recorder, step: int, side: int) -> None:
        """Compare fingerprints while the model must be the recorded one.

        Raises:
            ReplayError: They differ. Code R103.
        """
        self._compare(recorder, Step(recorder, step, None, None), side)

    def begin_step(self, recorder: Recorder, step: Step) -> None:
        """Nothing: the director compares."""

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Nothing: the director compares."""

    def before_update(self, step: Step) -> None:
        """Nothing: the director looks."""


class Feeder(Recorder):
    """The recorder that a loop sees while its steps are fed in another order."""

    #: Set before the hooks can fire.
    director: Director
    journal: FeedingJournal
    #: Depth weights of the rows of the open micro-batch.
    row_weights: Mapping[int, Tensor]
    #: ``id`` of the parameters whose gradients taps tell, in reverse slots.
    captured: Collection[int] = frozenset()
    #: Width over which kinks of rectifiers are spread in reverse slots.
    kinks: float = 0.0

    def step(self, batch: Any = None, *, examples: Sequence[int | str] | None = None) -> Step:
        """Execute the next slot."""
        return FedStep(self, self.slot.step, batch, examples)

    @property
    def slot(self) -> Slot:
        """The slot that is executed next, or now."""
        slots = self.journal.slots
        if self.journal.position >= len(slots):
            raise AllFed
        return slots[self.journal.position]

    def begin_step(self, step: Step) -> None:
        """Set the state before the step."""
        if self._step is not None:
            raise InputError(
                "I106",
                observed="a step inside another",
                expected="one step at a time",
                where=f"step {step.number}",
            )
        self._step, self._routed = step, set()
        self.director.begin(self, self.slot)

    @contextmanager
    def forward(self, step: Step, micro: MicroBatch) -> Iterator[None]:
        """Run one forward and backward pass: as recorded, or with taps."""
        weights = self.weights_of(micro.examples, accumulated=step._batch is None)  # noqa: SLF001
        self.row_weights = weights
        self.journal.num_taken += 1
        self.director.micro_batch(self, self.slot, micro)
        if self.slot.reverse:
            with (
                sdpa_kernel(SDPBackend.MATH),
                Curved(self.captured, self.kinks),
                intercepted_backward(self._backward, instead=True),
            ):
                yield
        else:
            self.booker.keep_raw_for(routed=True)
            with (
                self.capture.micro_batch(len(micro), weights),
                intercepted_backward(self._backward, instead=False),
            ):
                yield

    def _backward(self, losses: Sequence[Tensor], grads: Sequence[Tensor | None]) -> None:
        self.director.backward(self, losses, grads)

    def end_step(self, step: Step) -> None:
        """Look at the state after the step and go on to the next slot."""
        self._step = None
        try:
            if not step.updated:
                raise ReplayError(
                    "R105",
                    observed=f"no optimizer.step() in step {step.number}",
                    expected="one, as recorded",
                    where=str(self.journal.run.run_dir),
                    hint="replay with the training loop that was recorded",
                )
            self.director.end(self, self.slot)
        finally:
            self.booker.clear()
            self._handed.forget_used()
        self.journal.position, self.journal.num_taken = self.journal.position + 1, 0
        if self.journal.position >= len(self.journal.slots):
            raise AllFed

    def _before_update(self, _optimizer: optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._step is not None:
            self.director.before_update(self, self.slot)

    def _after_update(self, _optimizer: optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._step is not None:
            self._step.updated = True
            self.director.after_update(self, self.slot)

    def let_go(self) -> None:
        """Take all hooks off."""
        self._release()
        self.journal.abort()

    def begin_again(self) -> None:
        """Forget what the loop showed, so that it can show it again."""
        self.journal.restart()
        self.examples = type(self.examples)()
        self.passes = type(self.passes)()
        self.objects = type(self.objects)()
        self._handed = type(self._handed)()


def feed(feeder: Feeder, train: Callable[[Any], None]) -> None:
    """Run the loop until every slot was executed.

    Raises:
        ReplayError: The loop ended without executing a single slot. Code R105.
    """
    journal = feeder.journal
    while True:
        before = journal.position
        try:
            train(feeder)
        except AllFed:
            return
        journal.loop_ended()
        if journal.position == before:
            raise ReplayError(
                "R105",
                observed="a loop that ended without a step",
                expected=f"{len(journal.slots) - before} more steps",
                where=str(journal.run.run_dir),
                hint="replay with the training loop that was recorded",
            )
        feeder.begin_again()
