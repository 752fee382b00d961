"""The reverse sweep: exact derivatives of behaviours by the weight of every visit.

With x_s = (theta, optimizer state) after step s, the adjoint a_s = d f(x_T) / d x_s goes back by

    a_{s-1} = (d x_s / d x_{s-1})^T a_s,   e_s = (d x_s / d G_s)^T a_s,   d f / d w_v = <e_s, g_v>

where G_s = sum of d_v g_v is the gradient that step s accumulated. The optimizer's part is known
in closed form; the part through G_s is a Hessian-vector product per behaviour.

Shape legend: K behaviours, V visits of the run, G parameter groups, P elements.

Source: Ilyas and Engstrom, "MAGIC: Near-optimal data attribution for deep learning", 2025;
Maclaurin et al., "Gradient-based hyperparameter optimization through reversible learning", 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradledger.errors import ReplayError
from gradledger.recorder.step import MicroBatch
from gradledger.replay.adjoint.clipping import pull_edit
from gradledger.replay.adjoint.feed import Feeder, Slot
from gradledger.replay.adjoint.following import Follower
from gradledger.replay.adjoint.taps import Taps
from gradledger.replay.adjoint.transition import State
from gradledger.state.torch_state import write_rng

#: Largest relative difference of a loss between two executions of one step, by dtype.
_SAME: Final = {torch.float64: 1e-9, torch.float32: 1e-4}


class Adjoint:
    """Adjoint vectors of all behaviours, between two steps.

    Attributes:
        theta: By the parameters, shape (K, P).
        state: By the optimizer's state, each (K, P).
        step: After which step.
    """

    def __init__(self, theta: Tensor, state: State, step: int) -> None:
        self.theta, self.state, self.step = theta, state, step


class Sweeper(Follower):
    """Goes back through a run that was followed once.

    Attributes:
        adjoint: Where it is; set before the first reverse slot.
        by_group: d f / d d_{v,g} of every visit and group, shape (K, V, G).
        through: d f / d w_v through every group: the same times the depth weight.
        by_visit: d f / d w_v, shape (K, V).
        step_done: Called after every reverse slot.
    """

    adjoint: Adjoint
    taps: Taps
    step_done: Callable[[], None] | None = None

    def open(self, gradients: Tensor, taps: Taps, blunt: float) -> None:
        """Take the gradients of the behaviours at the end of the run, shape (K, P)."""
        self.taps, self._blunt = taps, blunt
        run = self.feeder.journal.run
        names = sorted({name for stand in self.noted.values() for name in self._names(stand)})
        zeros = {name: torch.zeros_like(gradients) for name in names}
        self.adjoint = Adjoint(gradients, zeros, run.num_steps)
        num, visits = len(gradients), len(run.visits)
        self.by_group = np.zeros((num, visits, self.layout.num_groups), np.float32)
        self.through = np.zeros_like(self.by_group)
        self.by_visit = np.zeros((num, visits), np.float64)
        self._number_visits()

    def reopen(
        self, adjoint: Adjoint, found: Mapping[str, NDArray[Any]], taps: Taps, blunt: float
    ) -> None:
        """Go on where an earlier sweep was."""
        self.taps, self._blunt, self.adjoint = taps, blunt, adjoint
        self.by_group, self.through = found["by_group"], found["through"]
        self.by_visit = found["by_visit"]
        self._number_visits()

    def found(self) -> dict[str, NDArray[Any]]:
        """Return the derivatives so far, by name."""
        return {"by_group": self.by_group, "through": self.through, "by_visit": self.by_visit}

    def _number_visits(self) -> None:
        self._first_visit: dict[int, int] = {}
        for place, visit in enumerate(self.feeder.journal.run.visits):
            self._first_visit.setdefault(visit.step, place)
        self._place = 0

    def begin(self, recorder: Feeder, slot: Slot) -> None:
        """Bring model and adjoint to the step."""
        if not slot.reverse:
            super().begin(recorder, slot)
            return
        recorder.journal.note_step(recorder, slot.step)
        taped, noted = self.tape[slot.step], self.noted[slot.step]
        self.layout.write(taped.stand.theta)
        write_rng(noted.rng)
        adjoint = self.adjoint
        # What the optimizer skipped stays as it is, and so does its adjoint.
        theta, asked = adjoint.theta.clone(), torch.zeros_like(adjoint.theta)
        state = {name: value.clone() for name, value in adjoint.state.items()}
        for part, moment in taped.moments(self.layout, noted, self._blunt):
            own = {name: value[:, part] for name, value in adjoint.state.items()}
            theta[:, part], before, asked[:, part] = self.transition.pull(
                moment, adjoint.theta[:, part], own
            )
            for name, value in state.items():
                value[:, part] = before.get(name, 0.0)
        self.adjoint = Adjoint(theta, state, slot.step - 1)
        self.taps.aim(pull_edit(noted.edit, taped.raw, asked))
        self._place = self._first_visit.get(slot.step, 0)
        self._losses = []

    def micro_batch(self, recorder: Feeder, slot: Slot, micro: MicroBatch) -> None:
        """Open the taps in a reverse slot."""
        if not slot.reverse:
            return
        self.taps.begin(len(micro), recorder.row_weights)
        self._rows = slice(self._place, self._place + len(micro))
        self._place += len(micro)
        self._weights = weights_by_group(recorder, micro)

    def backward(self, recorder: Feeder, losses: Sequence[Tensor], grads: Any) -> None:
        """Add the Hessian-vector product to the adjoint and book every visit's derivative."""
        if not recorder.slot.reverse:
            super().backward(recorder, losses, grads)
            return
        self._losses += [float(loss.detach().sum()) for loss in losses]
        products, inner = self.taps.pull(losses, grads)
        self.show_gradients(recorder.slot.step)
        self.adjoint.theta += products
        found = inner.numpy()
        self.by_group[:, self._rows] += found
        weighted = found * self._weights
        self.through[:, self._rows] += weighted
        self.by_visit[:, self._rows] += weighted.sum(2)

    def before_update(self, recorder: Feeder, slot: Slot) -> None:
        """In a reverse slot the optimizer finds no gradients, and does nothing."""
        if not slot.reverse:
            super().before_update(recorder, slot)
            return
        self._aside = [value.grad for value in self.layout.parameters]
        for value in self.layout.parameters:
            value.grad = None

    def after_update(self, recorder: Feeder, slot: Slot) -> None:  # noqa: ARG002 - part of Director
        """In a reverse slot the loop sees the gradients that it saw then, before and after."""
        if slot.reverse:
            for value, grad in zip(self.layout.parameters, self._aside, strict=True):
                value.grad = grad

    def end(self, recorder: Feeder, slot: Slot) -> None:
        """Compare the losses, and forget the state."""
        if not slot.reverse:
            super().end(recorder, slot)
            return
        self.taps.end()
        self._compare_losses(slot)
        del self.tape[slot.step]
        self.kept.pop(slot.step - 1, None)
        if self.step_done is not None:
            self.step_done()
        self.advance()

    def show_gradients(self, step: int) -> None:
        """Give the parameters the gradients that the step accumulated."""
        parts, absent = self.layout.split(self.tape[step].raw.clone()), self.noted[step].absent
        for number, (place, part) in enumerate(zip(self.layout.places, parts, strict=True)):
            place.parameter.grad = None if number in absent else part

    def _names(self, noted: Any) -> Sequence[str]:
        return [
            name for numbers in noted.settings.numbers for name in self.transition.names(numbers)
        ]

    def _compare_losses(self, slot: Slot) -> None:
        """The step must compute what it computed: else it depends on more than its batch."""
        recorded, found = self.noted[slot.step].losses, self._losses
        tolerance = _SAME[self.layout.parameters[0].dtype]
        same = len(recorded) == len(found) and np.allclose(
            found, recorded, rtol=tolerance, atol=tolerance
        )
        if not same:
            raise ReplayError(
                "R174",
                observed=f"losses {found} in step {slot.step} when it is executed out of turn",
                expected=f"{recorded}, as in its turn",
                where=str(self.feeder.journal.run.run_dir),
                hint="a step may depend on its batch, the model and random numbers alone; ask for "
                "an executed replay instead: how='replay'",
            )


def weights_by_group(feeder: Feeder, micro: MicroBatch) -> np.ndarray:
    """Return the depth weight of every row on every parameter group, shape (R, G)."""
    columns = []
    for group in feeder.grouping.groups:
        row = None
        for value in group.parameters.values():
            row = feeder.row_weights.get(id(value))
        columns.append(np.ones(len(micro)) if row is None else row.double().cpu().numpy())
    return np.stack(columns, axis=1)
