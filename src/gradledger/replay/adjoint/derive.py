"""The derivative of behaviours of a recorded run by the weights of its visits.

The loop that was recorded is executed: once forwards, compared with the record, then backwards.

Shape legend: K behaviours, V visits of the run, G parameter groups, P elements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradledger.errors import ReplayError
from gradledger.gradient import survey
from gradledger.recorder.attach import observe
from gradledger.replay.adjoint import adam, sgd
from gradledger.replay.adjoint.feed import Feeder, FeedingJournal, feed
from gradledger.replay.adjoint.following import Follower, Progress, refuse_half
from gradledger.replay.adjoint.layout import Layout
from gradledger.replay.adjoint.plan import Plan, plan_segments
from gradledger.replay.adjoint.sweep import Sweeper
from gradledger.replay.adjoint.taps import Taps
from gradledger.replay.adjoint.transition import find_transition
from gradledger.replay.intervene import refuse_partial
from gradledger.replay.loop import Observable
from gradledger.replay.machine import as_recorded
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import Build, Train
from gradledger.schema import Intervention, Remove
from gradledger.state.torch_state import preserved_rng

__all__ = ["Derivatives", "adam", "derive", "sgd"]


_Follows = TypeVar("_Follows", bound=Follower)


@dataclass(frozen=True)
class Derivatives:
    """Exact derivatives along one trajectory.

    Attributes:
        names: Behaviours.
        values: Of the model that the trajectory ends in, shape (K,).
        by_visit: d f / d w_v in the order of ``RecordedRun.visits``, of those after step ``since``,
            shape (K, V).
        by_group: d f / d d_{v,g}, by depth weight, shape (K, V, G).
        through: d f / d w_v through every group, shape (K, V, G); adds up to ``by_visit``.
        examples: Example number of every visit.
        num_steps_taken: Steps that were executed, forwards and backwards.
        most_bytes: Memory that states took at most.
        since: Step whose state was taken as it was.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    by_visit: NDArray[np.float64]
    by_group: NDArray[np.float32]
    through: NDArray[np.float32]
    examples: NDArray[np.int64]
    num_steps_taken: int
    most_bytes: int
    since: int = 0

    def by_example(self, num_examples: int) -> NDArray[np.float64]:
        """Return d f / d w of every example, all its visits together, shape (K, num_examples)."""
        found = np.zeros((len(self.names), num_examples))
        for row, visits in zip(found, self.by_visit, strict=True):
            np.add.at(row, self.examples, visits)
        return found


def derive(
    run: RecordedRun,
    build: Build,
    train: Train,
    behaviours: Mapping[str, Observable],
    *,
    at: Intervention | None = None,
    since: int = 0,
    memory_bytes: int = 1 << 30,
    blunt: float = 0.0,
    progress: Progress | None = None,
) -> Derivatives:
    """Differentiate behaviours of the final model by the weight of every visit.

    Args:
        run: The closed run.
        build: Builds model and optimizer as the run did.
        train: The training loop that was recorded.
        behaviours: Name -> function of the model that returns a tensor with one element.
        at: Weights at which to differentiate, in place of the recorded ones.
        since: Go back to the state that is stored after this step, and no further: derivatives are
            then those by the visits after it, the state taken as it was.
        memory_bytes: What states of the run may take; less than about 2 sqrt(T) states is taken
            for that many.
        blunt: Gradient size below which the optimizer's step is not followed exactly, see
            ``AdamTransition``; 0 gives the exact derivative.
        progress: Called after every executed step.

    Raises:
        ReplayError: The run cannot be executed again (R101 to R105), the derivative does not exist
            for it (R131, R132, R171 to R177), a behaviour has no gradient (R178), or no state is
            stored at ``since`` (R102).
    """
    refuse_start(run, since)
    intervention = Remove() if at is None else at
    refuse_partial(run)
    with ExitStack() as stack:
        stack.enter_context(as_recorded(run.begin["environment"]))
        stack.enter_context(preserved_rng())
        sweeper = prepare(run, build, intervention, since, memory_bytes, progress, kind=Sweeper)
        feeder = sweeper.feeder
        stack.callback(feeder.let_go)
        sweeper.follow(train)
        values, gradients = behaviour_gradients(feeder.model, behaviours, sweeper.layout)
        updated = [place.parameter for place in sweeper.layout.places]
        units = survey(feeder.model, updated, run.begin["settings"]["unattributed"]).units
        taps = Taps(units, sweeper.layout)
        feeder.captured = taps.captured
        taps.attach()
        stack.callback(taps.detach)
        sweeper.open(gradients, taps, blunt)
        feeder.journal.feed(sweeper.plan.backward())
        feeder.begin_again()
        feed(feeder, train)
    places = [place for place, visit in enumerate(run.visits) if visit.step > since]
    return Derivatives(
        tuple(behaviours),
        values,
        sweeper.by_visit[:, places],
        sweeper.by_group[:, places],
        sweeper.through[:, places],
        np.asarray([run.visits[place].example for place in places], np.int64),
        2 * sweeper.plan.num_steps + sweeper.plan.num_recomputed,
        sweeper.most_bytes,
        since,
    )


def refuse_start(run: RecordedRun, since: int) -> None:
    """Refuse to begin where no state is stored, or where nothing comes after.

    Raises:
        ReplayError: Code R102.
    """
    run.state_dir(since)
    if since >= run.num_steps:
        raise ReplayError(
            "R102",
            observed=f"step {since} of {run.num_steps}",
            expected="a stored state before the last step",
            where=str(run.run_dir),
        )


def prepare(
    run: RecordedRun,
    build: Build,
    intervention: Intervention,
    since: int,
    memory_bytes: int,
    progress: Progress | None,
    *,
    kind: type[_Follows],
) -> _Follows:
    """Build everything that feeds a loop, with a director of this kind.

    Raises:
        ReplayError: The optimizer cannot be differentiated (R171), or half precision (R177).
    """
    model, optimizer = build()
    settings = run.begin["settings"]
    seen = observe(
        model,
        optimizer,
        groups=settings["groups"],
        unattributed=settings["unattributed"],
        accept_coupled=settings["accept_coupled"],
        measure_visits=False,
    )
    transition = find_transition(optimizer)
    layout = Layout(seen.grouping, optimizer)
    refuse_half(layout, str(run.run_dir))
    journal = FeedingJournal(run, intervention)
    feeder = Feeder(
        model,
        optimizer,
        grouping=seen.grouping,
        booker=seen.booker,
        buffers=seen.buffers,
        weights=seen.weights,
        probe=None,
        journal=journal,
    )
    feeder.journal = journal
    per_state = layout.size * layout.parameters[0].element_size()
    per_state *= 2 + len(transition.names(transition.note(optimizer.param_groups[0])))
    plan: Plan = plan_segments(run.num_steps, memory_bytes // max(per_state, 1), since)
    sweeper = kind(feeder, layout, transition, plan, progress)
    feeder.director = sweeper
    return sweeper


def behaviour_gradients(
    model: nn.Module, behaviours: Mapping[str, Observable], layout: Layout
) -> tuple[NDArray[np.float64], Tensor]:
    """Return values, shape (K,), and gradients, shape (K, P), in evaluation mode.

    Raises:
        ReplayError: A behaviour is not a differentiable function of the model. Code R178.
    """
    values, gradients = [], []
    with evaluated(model), torch.enable_grad():
        for name, behaviour in behaviours.items():
            value = behaviour(model)
            if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
                raise ReplayError(
                    "R178",
                    observed=f"{name!r} as {_described(value)}",
                    expected="a tensor with one element, computed from the model with autograd",
                    where="behaviour",
                    hint="return the loss itself, not float(loss), outside torch.no_grad()",
                )
            found: Any = torch.autograd.grad(
                value.reshape(()), layout.parameters, allow_unused=True
            )
            gradients.append(
                layout.gather(
                    [
                        torch.zeros_like(parameter) if grad is None else grad
                        for parameter, grad in zip(layout.parameters, found, strict=True)
                    ]
                )
            )
            values.append(float(value.detach()))
    return np.asarray(values), torch.stack(gradients)


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Set evaluation mode; random numbers and the mode of every module are put back.

    Embeddings are read without ``padding_idx``: torch hides from autograd that their output depends
    on that row, which a tied weight does change.
    """
    modes = [(module, module.training) for module in model.modules()]
    tables: list[Any] = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    padded = [(table, table.padding_idx) for table in tables if table.padding_idx is not None]
    with preserved_rng():
        model.eval()
        for table, _ in padded:
            table.padding_idx = None
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for table, padding in padded:
                table.padding_idx = padding


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} without gradient"
    return f"a {type(value).__name__}"


def removal(derivatives: Derivatives, examples: Sequence[int]) -> NDArray[np.float64]:
    """Return the first-order prediction of removing examples, shape (K,)."""
    chosen = np.isin(derivatives.examples, np.asarray(list(examples), np.int64))
    total: NDArray[np.float64] = -derivatives.by_visit[:, chosen].sum(1)
    return total
