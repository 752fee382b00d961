"""Execute a run again with something changed about chosen examples; all else as recorded.

Until the first visit that the intervention affects, every step is compared with the record bit for
bit; without such a visit the whole run is. From there on the model goes its own way, in the
recorded order, from the recorded random numbers, with the recorded learning rates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from torch import optim

from gradledger.errors import ReplayError
from gradledger.recorder.attention import Attention
from gradledger.recorder.examples import AdmittedDataset
from gradledger.recorder.presented import item_digest
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.step import MicroBatch, Step
from gradledger.recorder.weights import DepthWeights
from gradledger.replay.plan import plan_of
from gradledger.replay.recorded import RecordedRun
from gradledger.replay.rerun import RerunJournal
from gradledger.replay.substitute import Substituted, substitutes
from gradledger.schema import Intervention
from gradledger.segment import read_table
from gradledger.state.torch_state import rng_fingerprint, training_fingerprint

#: Called after every step with how many are executed and how many are to be.
Progress = Callable[[int, int], None]

_FULL_COVERAGE_PERCENT: Final = 100.0


class Interventions(RerunJournal):
    """The journal of a rerun under an intervention.

    Args:
        run: The recorded run.
        intervention: What is done, to which examples.
        progress: Called after every step.

    Attributes:
        plan: Which visits it changes, and to what.
        first_affected: Step of their first visit; None where there is none.
        first_different: First step after which the model is another; None where there is none.
        first_other_rng: First step before which random numbers differ; None where none do.
        num_identical: Steps up to the last that was found bit-identical before the first affected
            visit; those before the state that the replay began with are known to be.
        final_fingerprint: Fingerprint of model and optimizer after the last step.
        num_rates_set: Learning rates that the loop chose otherwise and that were set as recorded.
    """

    def __init__(
        self, run: RecordedRun, intervention: Intervention, progress: Progress | None = None
    ) -> None:
        super().__init__(run, self)
        self.intervention, self._progress = intervention, progress
        self.plan = plan_of(run, intervention)
        self.first_affected = self.plan.first_step
        self.first_different: int | None = None
        self.first_other_rng: int | None = None
        self.num_identical = self.num_rates_set = 0
        self.final_fingerprint = ""
        self._rates = recorded_rates(run)
        steps = read_table(run.run_dir, "steps", ["step", "rng_fingerprint"]).to_pylist()
        self._rng = {row["step"]: row["rng_fingerprint"] for row in steps}
        self._step = 0
        self._handle: Any = None
        self._factual: DepthWeights | None = None
        self._other: DepthWeights | None = None
        self._kept: dict[int, int] = {}

    def attention(self, *, visits: bool) -> Attention:
        """Books are not kept, so that nothing is copied for them."""
        return replace(super().attention(visits=visits), deltas=visits)

    def is_limited(self) -> bool:
        """Whether a visit has a depth profile other than full, or gets one."""
        return bool(self.plan.weights) or super().is_limited()

    def open(self, recorder: Recorder) -> None:
        """Bring everything to the opening state, and keep an eye on the learning rates."""
        super().open(recorder)
        self._handle = recorder.optimizer.register_step_pre_hook(self._set_rates)

    def admit(self, recorder: Recorder, dataset: Any, metadata: Any) -> AdmittedDataset:
        """Take the recorded decisions; present other content where that is the intervention."""
        first = len(recorder.examples)
        kept = super().admit(recorder, dataset, metadata)
        items = substitutes(dataset, first, self.plan.substituted)
        if items:
            kept.dataset = Substituted(dataset, items)
        for place, item in items.items():
            if recorder.examples.commitments[first + place] is not None:
                source = recorder.examples.sources[first + place]
                recorder.examples.commitments[first + place] = self.commit(
                    source, item_digest(item)
                )
        return kept

    def presented(self, step: Step, micro: MicroBatch) -> None:
        """Compare what is presented with the record, but for what is other on purpose."""
        if self.plan.substituted:
            recorded = {
                (visit.micro_batch, visit.position): visit.digest
                for visit in self.run.visits_of(step.number)
            }
            number = len(step.micro_batches)
            digests = [
                recorded.get((number, place), digest)
                if int(example) in self.plan.substituted
                else digest
                for place, (example, digest) in enumerate(
                    zip(micro.examples, micro.digests, strict=True)
                )
            ]
            micro = MicroBatch(micro.examples, digests, micro.tokens)
        super().presented(step, micro)

    def begin_step(self, recorder: Recorder, step: Step) -> None:
        """Compare the state before the step, and the random numbers."""
        self._step = step.number
        self._enforce(recorder, step.number)
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
        if step.number == self.run.num_steps:
            self.final_fingerprint = training_fingerprint(recorder.model, recorder.optimizer)
        if self._progress is not None:
            self._progress(step.number - self.start, self.run.num_steps - self.start)

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

    def _enforce(self, recorder: Recorder, step: int) -> None:
        """Put the weights of a step into force; those of the record, where nothing changes.

        The changed ones are a table of their own: a profile that is merely known would have every
        micro-batch of an accumulated step routed, also in steps that nothing is changed in.
        """
        if self._factual is None:
            self._factual = recorder.weights
        profile = recorder.examples.profile
        for example, number in self._kept.items():
            profile[example] = number
        changed = self.plan.weights.get(step, {})
        self._kept = {example: int(profile[example]) for example in changed}
        recorder.weights = self._factual
        if not changed:
            return
        if self._other is None:
            self._other = DepthWeights(
                recorder.grouping, accept_coupled=self.run.begin["settings"]["accept_coupled"]
            )
            for name in self._factual.names[1:]:
                self._other.add(name, self._factual.by_block[name])
        recorder.weights = self._other
        for example, weights in changed.items():
            profile[example] = self._other.add(f"changed to {weights}", weights)

    def _set_rates(self, optimizer: optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        """A schedule that follows the loss would choose other rates; the recorded ones stand."""
        for place, recorded in self._rates.get(self._step, {}).items():
            if place < 0:
                continue  # Tensors that had not joined when the run began.
            settings = optimizer.param_groups[place]
            if float(settings["lr"]) == recorded:
                continue
            self.num_rates_set += 1
            if hasattr(settings["lr"], "fill_"):
                settings["lr"].fill_(recorded)
            else:
                settings["lr"] = recorded


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


def refuse_inexact(run: RecordedRun, intervention: Intervention) -> None:
    """Refuse interventions whose weights could not act on every parameter of chosen examples.

    Raises:
        ReplayError: Parameters lack capture (R131), or rows influence each other (R132).
    """
    if plan_of(run, intervention).weights:
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
