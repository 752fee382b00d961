"""The derivative of behaviours of a recorded run by the weights of its visits.

The loop that was recorded is executed: once forwards, compared with the record, then backwards.

Shape legend: K behaviours, V visits of the run, G parameter groups, P elements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gradledger.errors import ReplayError
from gradledger.gradient import survey
from gradledger.recorder.attach import observe
from gradledger.recorder.attention import Attention
from gradledger.replay.adjoint import adam, sgd
from gradledger.replay.adjoint.end import behaviour_gradients
from gradledger.replay.adjoint.feed import Feeder, FeedingJournal, feed
from gradledger.replay.adjoint.following import Follower, Progress, refuse_half
from gradledger.replay.adjoint.halfway import Keeper
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
_Taps = TypeVar("_Taps", bound=Taps)


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
    kinks: float = 0.0,
    keep: Path | None = None,
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
        kinks: Width of inputs over which the step of a rectifier's slope is spread, see
            ``Curved``; 0 gives the exact derivative.
        keep: File that the sweep is kept in while it goes on, and goes on from where it was cut
            off; not for other weights.
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
        keeper = half = None
        if keep is not None and at is None:
            keeper = Keeper(keep, run, tuple(behaviours), since, (blunt, kinks))
            half = keeper.read(build, behaviours)
        last = run.num_steps if half is None else half.adjoint.step
        sweeper = prepare(
            run, build, intervention, (since, last), memory_bytes, progress, kind=Sweeper
        )
        feeder = sweeper.feeder
        feeder.kinks = kinks
        stack.callback(feeder.let_go)
        sweeper.later = [] if half is None else half.edits
        sweeper.follow(train)
        taps = tap(sweeper, Taps)
        stack.callback(taps.detach)
        if half is None:
            values, gradients = behaviour_gradients(feeder.model, behaviours, sweeper.layout)
            sweeper.open(gradients, taps, blunt)
        else:
            values = half.values
            sweeper.reopen(half.adjoint, half.found, taps, blunt)
        if keeper is not None:
            sweeper.step_done = partial(keeper.step_done, sweeper, values)
        feeder.journal.feed(sweeper.plan.backward())
        feeder.begin_again()
        feed(feeder, train)
        if keeper is not None:
            keeper.forget()
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
    between: tuple[int, int],
    memory_bytes: int,
    progress: Progress | None,
    *,
    kind: type[_Follows],
) -> _Follows:
    """Build everything that feeds a loop between two steps, with a director of this kind.

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
        attention=Attention(visits=False),
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
    plan: Plan = plan_segments(between[1], memory_bytes // max(per_state, 1), between[0])
    sweeper = kind(feeder, layout, transition, plan, progress)
    feeder.director = sweeper
    return sweeper


def tap(sweeper: Sweeper, kind: type[_Taps]) -> _Taps:
    """Put taps of this kind on the modules of the model that is fed."""
    feeder = sweeper.feeder
    updated = [place.parameter for place in sweeper.layout.places]
    unattributed = feeder.journal.run.begin["settings"]["unattributed"]
    taps = kind(survey(feeder.model, updated, unattributed).units, sweeper.layout)
    feeder.captured = taps.captured
    taps.attach()
    return taps


def removal(derivatives: Derivatives, examples: Sequence[int]) -> NDArray[np.float64]:
    """Return the first-order prediction of removing examples, shape (K,)."""
    chosen = np.isin(derivatives.examples, np.asarray(list(examples), np.int64))
    total: NDArray[np.float64] = -derivatives.by_visit[:, chosen].sum(1)
    return total
