"""Execute a run again with something changed about chosen examples; all else as recorded.

Until the first visit that the intervention affects, every step is compared with the record bit for
bit; without such a visit the whole run is. From there on the model goes its own way, in the
recorded order, from the recorded random numbers, with the recorded learning rates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from torch import optim

from gradledger.errors import ReplayError
from gradledger.recorder.examples import AdmittedDataset
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import Step
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import RerunJournal
from gradledger.schema import Intervention
from gradledger.segment import read_table
from gradledger.state.torch_state import rng_fingerprint, training_fingerprint

#: Called after every step with its number and the number of steps.
Progress = Callable[[int, int], None]

_FULL_COVERAGE_PERCENT: Final = 100.0


@dataclass(frozen=True)
class Weigh:
    """Multiply the profile of each example by a number of its own, in every group.

    What predictions are held against: random directions of weights, mixtures of removals.

    Attributes:
        factors: Example number -> factor of at least 0; examples that are not named keep theirs.
    """

    factors: Mapping[int, float]

    operation = "weigh"

    @property
    def examples(self) -> tuple[int, ...]:
        """Example numbers, ascending."""
        return tuple(sorted(self.factors))


#: What can be done to examples while a run is executed again.
Acting = Intervention | Weigh


class Interventions(RerunJournal):
    """The journal of a rerun under an intervention.

    Args:
        run: The recorded run.
        intervention: What is done, to which examples.
        progress: Called after every step.

    Attributes:
        affected: Examples whose weights the intervention changes.
        first_affected: Step of their first visit; None where there is none.
        first_different: First step after which the model is another; None where there is none.
        first_other_rng: First step before which random numbers differ; None where none do.
        num_identical: Steps found bit-identical before the first affected visit.
        num_rates_set: Learning rates that the loop chose otherwise and that were set as recorded.
    """

    def __init__(
        self, run: RecordedRun, intervention: Acting, progress: Progress | None = None
    ) -> None:
        super().__init__(run, self)
        self.intervention, self._progress = intervention, progress
        self.affected = affected_examples(run, intervention)
        wanted = frozenset(self.affected)
        self.first_affected = next(
            (visit.step for visit in run.visits if visit.example in wanted), None
        )
        self.first_different: int | None = None
        self.first_other_rng: int | None = None
        self.num_identical = self.num_rates_set = 0
        self._rates = recorded_rates(run)
        steps = read_table(run.run_dir, "steps", ["step", "rng_fingerprint"]).to_pylist()
        self._rng = {row["step"]: row["rng_fingerprint"] for row in steps}
        self._step = 0
        self._num_recorded: int | None = None
        self._handle: Any = None

    def open(self, recorder: Recorder) -> None:
        """Bring everything to the opening state, and keep an eye on the learning rates."""
        super().open(recorder)
        self._handle = recorder.optimizer.register_step_pre_hook(self._set_rates)

    def admit(self, recorder: Recorder, dataset: Any, metadata: Any) -> AdmittedDataset:
        """Take the recorded decisions, then give affected examples their other weights."""
        first = len(recorder.examples)
        kept = super().admit(recorder, dataset, metadata)
        if self._num_recorded is None:
            self._num_recorded = len(recorder.weights.names)
        weights, profile = recorder.weights, recorder.examples.profile
        for example in self.affected:
            if first <= example < len(recorder.examples):
                name = weights.names[profile[example]]
                other = applied_to(self.intervention, example, weights.by_block[name])
                title = f"{self.intervention.operation} {name}"
                if isinstance(self.intervention, Weigh):
                    title = f"{self.intervention.factors[example]!r} of {name}"
                profile[example] = weights.add(title, other)
        return kept

    def begin_step(self, recorder: Recorder, step: Step) -> None:
        """Compare the state before the step, and the random numbers."""
        self._step = step.number
        self._decide_routing(recorder, step.number)
        super().begin_step(recorder, step)
        if self.first_other_rng is None and rng_fingerprint() != self._rng.get(step.number):
            self.first_other_rng = step.number

    def book(
        self, recorder: Recorder, step: Step, sizes: Sequence[int], routed: frozenset[int]
    ) -> None:
        """Book nothing: what the changed run's entries are is another question."""

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Compare the state after the step while it must be the recorded one."""
        super().end_step(recorder, step)
        if self._progress is not None:
            self._progress(step.number, self.run.num_steps)

    def close(self, recorder: Recorder) -> None:  # noqa: ARG002 - part of Journal
        """Let go of the optimizer."""
        self.abort()

    def abort(self) -> None:
        """Let go of the optimizer."""
        if self._handle is not None:
            self._handle.remove()

    def _compare(self, recorder: Recorder, step: Step, side: int) -> None:
        if self.first_affected is None or (step.number, side) < (self.first_affected, 1):
            super()._compare(recorder, step, side)
            self.num_identical = step.number - 1 + side
        elif side == 1 and self.first_different is None:
            found = training_fingerprint(recorder.model, recorder.optimizer)
            if found != self.run.fingerprints[step.number][1]:
                self.first_different = step.number

    def _decide_routing(self, recorder: Recorder, step: int) -> None:
        """Until the first affected visit nothing may be routed that was not: sums would round."""
        same = self.first_affected is None or step < self.first_affected
        recorder.weights.num_deciding = self._num_recorded if same else None

    def _set_rates(self, optimizer: optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        """A schedule that follows the loss would choose other rates; the recorded ones stand."""
        for place, recorded in self._rates.get(self._step, {}).items():
            settings = optimizer.param_groups[place]
            if float(settings["lr"]) == recorded:
                continue
            self.num_rates_set += 1
            if hasattr(settings["lr"], "fill_"):
                settings["lr"].fill_(recorded)
            else:
                settings["lr"] = recorded


def applied_to(intervention: Acting, example: int, profile: Sequence[float]) -> tuple[float, ...]:
    """Return the weights per block that an example gets in place of its profile's."""
    if isinstance(intervention, Weigh):
        return tuple(intervention.factors[example] * weight for weight in profile)
    return intervention.applied(profile)


def affected_examples(run: RecordedRun, intervention: Acting) -> tuple[int, ...]:
    """Return the admitted examples whose weights an intervention changes, ascending."""
    decision, admitted, profiles = run.decisions()
    in_force = run.begin["settings"]["profiles"]
    full = [1.0] * len(run.begin["blocks"])
    found = []
    for example in intervention.examples:
        if 0 <= example < len(admitted) and admitted[example]:
            weights = in_force.get(profiles[decision[example]], full)
            if tuple(weights) != applied_to(intervention, example, weights):
                found.append(example)
    return tuple(found)


def recorded_rates(run: RecordedRun) -> dict[int, dict[int, float]]:
    """Return step -> optimizer param group -> learning rate, where the books name one."""
    of_group = {}
    for group in run.begin["groups"]:
        places = {tensor["optimizer_param_group"] for tensor in group["tensors"]}
        if len(places) == 1 and min(places) >= 0:
            of_group[group["group"]] = places.pop()
    rates: dict[int, dict[int, float]] = {}
    for row in read_table(run.run_dir, "books", ["step", "group", "learning_rate"]).to_pylist():
        place, rate = of_group.get(row["group"]), row["learning_rate"]
        if place is not None and rate is not None and np.isfinite(rate):
            rates.setdefault(row["step"], {})[place] = rate
    return rates


def refuse_inexact(run: RecordedRun, intervention: Acting) -> None:
    """Refuse interventions whose weights could not act on every parameter of chosen examples.

    Raises:
        ReplayError: Parameters lack capture (R131), or rows influence each other (R132).
    """
    if affected_examples(run, intervention):
        refuse_partial(run)


def refuse_partial(run: RecordedRun) -> None:
    """Refuse runs in which the weight of an example does not say all that it did.

    Raises:
        ReplayError: Parameters lack capture (R131), or rows influence each other (R132).
    """
    coverage = run.begin["coverage"]
    if coverage["num_captured"] < coverage["num_updated"]:
        percent = _FULL_COVERAGE_PERCENT * coverage["num_captured"] / coverage["num_updated"]
        raise ReplayError(
            "R131",
            observed=f"capture of {percent:.1f} % of the updated parameters; without: "
            + ", ".join(name for name, _ in coverage["unattributed"][:3]),
            expected="100 %",
            where=str(run.run_dir),
            hint="give the modules a layer kind, or freeze them",
        )
    coupled = [
        row["step"]
        for row in read_table(run.run_dir, "steps", ["step", "coupled"]).to_pylist()
        if row["coupled"]
    ]
    if coupled:
        raise ReplayError(
            "R132",
            observed=f"{len(coupled)} steps with coupled rows, first step {coupled[0]}",
            expected="rows that do not influence each other",
            where=str(run.run_dir),
            hint="replace batch by group normalisation: a row with weight 0 would still act "
            "through the statistics of its batch",
        )
