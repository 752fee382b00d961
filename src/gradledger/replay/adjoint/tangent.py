"""The tangent: one change of weights, followed forwards to every parameter and every behaviour.

With x_s = (theta, optimizer state) after step s and weights w + eps * change, the tangent
x'_s = d x_s / d eps goes forward by

    G'_s = H_s theta'_{s-1} + sum of change_v g_v,   x'_s = (d x_s / d x_{s-1}) x'_{s-1}
                                                          + (d x_s / d G_s) G'_s

One sweep answers for one intervention what the adjoint answers for all of them, and the adjoint for
one behaviour what the tangent answers for all of them and every parameter.

Shape legend: K behaviours, R rows (visits of a micro-batch), G parameter groups, P elements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradledger.gradient import row_axis
from gradledger.recorder.step import MicroBatch
from gradledger.replay.adjoint.along import weighted
from gradledger.replay.adjoint.clipping import pull_edit
from gradledger.replay.adjoint.derive import prepare, tap
from gradledger.replay.adjoint.end import behaviour_gradients
from gradledger.replay.adjoint.feed import Feeder, Slot, feed
from gradledger.replay.adjoint.following import Progress
from gradledger.replay.adjoint.sweep import Sweeper, weights_by_group
from gradledger.replay.adjoint.taps import Taps
from gradledger.replay.adjoint.transition import State
from gradledger.replay.intervene import refuse_partial
from gradledger.replay.loop import Observable
from gradledger.replay.machine import as_recorded
from gradledger.replay.plan import plan_of
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import Build, Train
from gradledger.schema import Intervention, Remove
from gradledger.state.torch_state import preserved_rng, write_rng


@dataclass(frozen=True)
class Tangent:
    """First-order effect of one intervention.

    Attributes:
        names: Behaviours.
        values: Of the recorded final model, shape (K,).
        changes: First-order change of each, shape (K,).
        parameters: Parameter -> its first-order change.
        num_steps_taken: Steps that were executed, those that were followed included.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    changes: NDArray[np.float64]
    parameters: Mapping[str, Tensor]
    num_steps_taken: int


def differentiate_along(
    run: RecordedRun,
    build: Build,
    train: Train,
    intervention: Intervention,
    behaviours: Mapping[str, Observable],
    *,
    memory_bytes: int = 1 << 30,
    progress: Progress | None = None,
) -> Tangent:
    """Follow one change of weights through the recorded run.

    Args:
        run: The closed run.
        build: Builds model and optimizer as the run did.
        train: The training loop that was recorded.
        intervention: What is done, to which examples; the derivative is that along the straight way
            from the recorded weights to its own.
        behaviours: Name -> function of the model that returns a tensor with one element.
        memory_bytes: What states of the run may take.
        progress: Called after every executed step.

    Raises:
        ReplayError: The run cannot be executed again (R101 to R105), the derivative does not exist
            for it (R131, R132, R171 to R177), a behaviour has no gradient (R178), or the
            intervention has no weights of its own (R151 to R153).
    """
    refuse_partial(run)
    plan = plan_of(run, intervention)
    since = 0 if plan.first_step is None else run.last_state_before(plan.first_step)
    with ExitStack() as stack:
        stack.enter_context(as_recorded(run.begin["environment"]))
        stack.enter_context(preserved_rng())
        between = (since, run.num_steps)
        sweeper = prepare(run, build, Remove(), between, memory_bytes, progress, kind=_Forward)
        feeder = sweeper.feeder
        stack.callback(feeder.let_go)
        sweeper.follow(train)
        values, gradients = behaviour_gradients(feeder.model, behaviours, sweeper.layout)
        taps = tap(sweeper, _TurnedTaps)
        stack.callback(taps.detach)
        sweeper.set_out(taps, plan.weights)
        feeder.journal.feed(_onwards(sweeper))
        feeder.begin_again()
        feed(feeder, train)
    return Tangent(
        tuple(behaviours),
        values,
        (gradients.double() @ sweeper.theta.double()).numpy(),
        {name: part.clone() for name, part in sweeper.layout.by_name(sweeper.theta).items()},
        2 * sweeper.plan.num_steps + sweeper.plan.num_recomputed,
    )


def _onwards(sweeper: Sweeper) -> list[Slot]:
    """Return the slots that go through the run once more, each segment computed before."""
    slots: list[Slot] = []
    for start, end in sweeper.plan.segments:
        steps = range(start + 1, end + 1)
        if end != sweeper.plan.bounds[-1]:
            slots += [Slot(step, reverse=False) for step in steps]
        slots += [Slot(step, reverse=True) for step in steps]
    return slots


class _TurnedTaps(Taps):
    """Taps that also add up the gradients of rows, each times the change of its weight."""

    #: Change of every row's weight by parameter group, shape (R, G); set in each micro-batch.
    turn: Tensor

    def aim(self, directions: Tensor) -> None:
        """Set the direction as a leaf: what modules write along it is linear in it."""
        self._leaf = directions.detach().clone().requires_grad_()
        super().aim(self._leaf)

    def _pairs(
        self, k: int, by_call: Sequence[Sequence[Tensor | None]], inner: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        pairs = super()._pairs(k, by_call, inner)
        self._turned = torch.zeros_like(self._leaf[0])
        outputs, cotangents = [], []
        for call, grads in zip(self._calls, by_call, strict=True):
            axis = row_axis(call.unit.module)
            for part, along in call.along:
                change = self.turn[:, part.column]
                if not bool(change.any()):
                    continue
                for grad, value in zip(grads, along[k], strict=True):
                    if grad is not None and value.requires_grad:
                        outputs.append(value)
                        cotangents.append(weighted(grad.detach(), change, axis))
        if outputs:
            found: Any = torch.autograd.grad(
                outputs, [self._leaf], cotangents, retain_graph=True, allow_unused=True
            )
            if found[0] is not None:
                self._turned = found[0][0]
        return pairs

    def _differentiate(self, pairs: Sequence[tuple[Tensor, Tensor]], *, last: bool) -> Tensor:
        return super()._differentiate(pairs, last=last) + self._turned


class _Forward(Sweeper):
    """Carries the tangent from step to step.

    Attributes:
        theta: Tangent of the parameters, shape (P,).
        state: Tangent of the optimizer's state, each (P,).
    """

    theta: Tensor
    state: State

    def set_out(
        self, taps: _TurnedTaps, weights: Mapping[int, Mapping[int, Sequence[float]]]
    ) -> None:
        """Begin where nothing has changed yet."""
        self.taps, self._changed = taps, weights
        self.theta = torch.zeros_like(self.layout.read())
        names = sorted({name for noted in self.noted.values() for name in self._names(noted)})
        self.state = {name: torch.zeros_like(self.theta) for name in names}
        begin = self.feeder.journal.run.begin
        number = {block: index for index, block in enumerate(begin["blocks"])}
        groups = [group for group in begin["groups"] if group["role"] == "parameters"]
        self._blocks = [number[group["block"]] for group in groups]
        self._raw = torch.zeros_like(self.theta)

    def begin(self, recorder: Feeder, slot: Slot) -> None:
        """Bring the model to the step and aim the taps along the tangent."""
        if not slot.reverse:
            super().begin(recorder, slot)
            return
        recorder.journal.note_step(recorder, slot.step)
        self.layout.write(self.tape[slot.step].stand.theta)
        write_rng(self.noted[slot.step].rng)
        self.taps.aim(self.theta[None])
        self._raw, self._losses = torch.zeros_like(self.theta), []

    def micro_batch(self, recorder: Feeder, slot: Slot, micro: MicroBatch) -> None:
        """Open the taps, and say how the weights of the rows change."""
        if not slot.reverse:
            return
        self.taps.begin(len(micro), recorder.row_weights)
        turn = np.zeros((len(micro), self.layout.num_groups))
        held = weights_by_group(recorder, micro)
        changed = self._changed.get(slot.step, {})
        for row, example in enumerate(micro.examples.tolist()):
            if example in changed:
                turn[row] = np.asarray(changed[example])[self._blocks] - held[row]
        dtype = self.layout.parameters[0].dtype
        self.taps.turn = torch.from_numpy(turn).to(dtype)  # type: ignore[attr-defined]

    def backward(self, recorder: Feeder, losses: Sequence[Tensor], grads: Any) -> None:
        """Add up how the gradient of the step turns."""
        if not recorder.slot.reverse:
            super().backward(recorder, losses, grads)
            return
        self._losses += [float(loss.detach().sum()) for loss in losses]
        products, _ = self.taps.pull(losses, grads)
        self.show_gradients(recorder.slot.step)
        self._raw += products[0]

    def end(self, recorder: Feeder, slot: Slot) -> None:
        """Take the tangent over the optimizer's step."""
        if slot.reverse:
            taped, noted = self.tape[slot.step], self.noted[slot.step]
            # The Jacobian of an edit is symmetric: it turns tangents as it does adjoints.
            used = pull_edit(noted.edit, taped.raw, self._raw[None])[0]
            theta = self.theta.clone()
            state = {name: value.clone() for name, value in self.state.items()}
            for part, moment in taped.moments(self.layout, noted):
                own = {name: value[part] for name, value in self.state.items()}
                theta[part], after = self.transition.push(moment, self.theta[part], own, used[part])
                for name, value in after.items():
                    state[name][part] = value
            self.theta, self.state = theta, state
        super().end(recorder, slot)
