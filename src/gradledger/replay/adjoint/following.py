"""Following a run forwards: the record compared, and every step noted for going back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, optim

from gradledger.errors import ReplayError
from gradledger.recorder.step import MicroBatch
from gradledger.recorder.tracked import Tracked
from gradledger.replay.adjoint.clipping import Edit, read_edit, settle
from gradledger.replay.adjoint.feed import Feeder, Slot, feed
from gradledger.replay.adjoint.layout import Layout
from gradledger.replay.adjoint.plan import Plan
from gradledger.replay.adjoint.tape import Noted, Settings, Stand, Taped
from gradledger.replay.adjoint.transition import Transition
from gradledger.state.torch_state import (
    RngState,
    fingerprint_tensors,
    load_state,
    model_tensors,
    read_rng,
    restore_rng,
    write_rng,
)

#: Called with the number of slots executed and of all slots.
Progress = Callable[[int, int], None]

#: Steps from one comparison with the record to the next.
_COMPARED: Final = 8
_HALF: Final = (torch.float16, torch.bfloat16)


class Follower:
    """Takes steps: the whole run once, compared with the record; segments of it again.

    Args:
        feeder: Feeds the loop.
        layout: Places of the parameters.
        transition: The optimizer's family.
        plan: Which states are kept.
        progress: Called after every slot.

    Attributes:
        noted: Step -> what is small about it.
        tape: Step -> its state and gradient, for the segment that is gone back through next.
        kept: Step -> state after it, where a segment begins.
        most_bytes: Largest memory that states took at one time.
        later: What the loop did to gradients in steps that are not followed again.
    """

    def __init__(
        self,
        feeder: Feeder,
        layout: Layout,
        transition: Transition,
        plan: Plan,
        progress: Progress | None,
    ) -> None:
        self.feeder, self.layout, self.transition, self.plan = feeder, layout, transition, plan
        self.noted: dict[int, Noted] = {}
        self.tape: dict[int, Taped] = {}
        self.kept: dict[int, Stand] = {}
        self.most_bytes = 0
        self._progress = progress
        self._rng: RngState | None = None
        self._before: Stand | None = None
        self._losses: list[float] = []
        self._first = True
        self._buffers = ""
        self.later: list[Edit] = []

    @property
    def optimizer(self) -> optim.Optimizer:
        """The live optimizer."""
        return self.feeder.optimizer

    def follow(self, train: Callable[[Any], None]) -> None:
        """Follow the run once from its opening state."""
        self.feeder.journal.feed(self.plan.forward())
        feed(self.feeder, train)
        self.followed()

    def begin(self, recorder: Feeder, slot: Slot) -> None:
        """Restore the state where a segment is computed again, and the random numbers always."""
        step = slot.step
        recorder.journal.note_step(recorder, step)
        if self._first:
            if step == self.plan.bounds[0] + 1:
                self._open(recorder, step - 1)
                self._buffers = self._read_buffers()
                recorder.journal.compare(recorder, step, 0)
            self._rng = read_rng()
        else:
            if step - 1 in self.kept:
                self.kept[step - 1].write(self.layout, self.optimizer, self.transition)
            write_rng(self.noted[step].rng)
        self._losses = []
        starts = {start for start, _ in self.plan.segments}
        self._before = None
        if self._tapes(step) or (self._first and step - 1 in starts):
            self._before = Stand.read(self.layout, self.optimizer, self.transition)
        if self._first and step - 1 in starts and not self._tapes(step) and self._before:
            self.kept[step - 1] = self._before

    def micro_batch(self, recorder: Feeder, slot: Slot, micro: MicroBatch) -> None:
        """Nothing: taps are for going back."""

    def backward(
        self,
        recorder: Feeder,  # noqa: ARG002 - part of Director
        losses: Sequence[Tensor],
        grads: Any,  # noqa: ARG002 - likewise
    ) -> None:
        """Note what ``backward`` was called on; it runs as always."""
        self._losses += [float(loss.detach().sum()) for loss in losses]

    def before_update(self, recorder: Feeder, slot: Slot) -> None:
        """Note gradients and settings."""
        entries = {id(e.parameter): e for group in recorder.booker.tracked for e in group}
        live = self.layout.parameters
        raw = self.layout.gather([_accumulated(entries[id(value)]) for value in live])
        if self._first:
            recorder.journal.set_recorded_rates(self.optimizer)
            used = self.layout.gather(
                [torch.zeros_like(value) if value.grad is None else value.grad for value in live]
            )
            absent = frozenset(n for n, value in enumerate(live) if value.grad is None)
            edit = read_edit(raw, used, slot.step)
            settings = Settings.read(self.optimizer, self.transition)
            rng = self._rng or read_rng()
            self.noted[slot.step] = Noted(rng, settings, edit, self._losses, absent)
        else:
            self.noted[slot.step].settings.write(self.optimizer)
        if self._before is not None and self._tapes(slot.step):
            self.tape[slot.step] = Taped(self._before, raw)

    def after_update(self, recorder: Feeder, slot: Slot) -> None:
        """Nothing: the optimizer saw all there is."""

    def end(self, recorder: Feeder, slot: Slot) -> None:
        """Compare the state after every few steps: what a step began with shows in what follows."""
        if self._first and (slot.step % _COMPARED == 0 or slot.step == self.plan.bounds[-1]):
            recorder.journal.compare(recorder, slot.step, 1)
        size = sum(taped.stand.num_bytes + taped.raw.nbytes for taped in self.tape.values())
        self.most_bytes = max(
            self.most_bytes, size + sum(stand.num_bytes for stand in self.kept.values())
        )
        self.advance()

    def advance(self) -> None:
        """Tell the caller how far it is."""
        if self._progress is not None:
            total = 2 * self.plan.num_steps + self.plan.num_recomputed
            done = self.feeder.journal.position + 1
            self._progress(done if self._first else done + self.plan.num_steps, total)

    def followed(self) -> None:
        """Close the first pass: find the law of clipping, and refuse buffers that changed.

        Raises:
            ReplayError: No law explains what happened to gradients (R172), or buffers changed
                during training (R176).
        """
        self._first = False
        steps = sorted(self.noted)
        edits: list[Edit] = settle([*(self.noted[step].edit for step in steps), *self.later])
        for step, edit in zip(steps, edits[: len(steps)], strict=True):
            self.noted[step].edit = edit
        if self._read_buffers() != self._buffers:
            raise ReplayError(
                "R176",
                observed="buffers that training changes, such as running statistics",
                expected="buffers that stay as they are",
                where=str(self.feeder.journal.run.run_dir),
                hint="ask for an executed replay instead: how='replay'",
            )

    def _open(self, recorder: Feeder, step: int) -> None:
        """Bring model, optimizer and random numbers to a stored state in the middle of the run."""
        if step:
            folder = recorder.journal.run.state_dir(step)
            load_state(folder, recorder.model, recorder.optimizer)
            restore_rng(folder)

    def _tapes(self, step: int) -> bool:
        start, stop = self.plan.segments[-1]
        return not self._first or start < step <= stop

    def _read_buffers(self) -> str:
        own = {id(value) for value in self.layout.parameters}
        tensors = model_tensors(self.feeder.model).items()
        return fingerprint_tensors((name, value) for name, value in tensors if id(value) not in own)


def _accumulated(entry: Tracked) -> Tensor:
    """Return what autograd accumulated in this step: zeros where nothing came."""
    return entry.raw if entry.has_raw else torch.zeros_like(entry.raw)


def refuse_half(layout: Layout, where: str) -> None:
    """Refuse half precision: second derivatives through it are noise.

    Raises:
        ReplayError: Code R177.
    """
    for place in layout.places:
        if place.parameter.dtype in _HALF or torch.is_autocast_enabled():
            raise ReplayError(
                "R177",
                observed=f"{place.parameter.dtype} in {place.name}",
                expected="float32 or float64: in half precision the derivative of a run is noise",
                where=where,
                hint="ask for an executed replay instead: how='replay'",
            )
