"""The journal of a rerun: state restored, order fed, everything compared with the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from gradledger.errors import ReplayError
from gradledger.recorder.attention import Attention
from gradledger.recorder.examples import AdmittedDataset
from gradledger.recorder.order import RecordedOrder, RecordEnd
from gradledger.recorder.presented import item_digest
from gradledger.recorder.recorder import Recorder
from gradledger.recorder.salts import Salts
from gradledger.recorder.states import proceed, restore
from gradledger.recorder.step import MicroBatch, Step
from gradledger.recorder.weights import FULL
from gradledger.replay.keep import Keeper
from gradledger.replay.recorded import RecordedRun
from gradledger.segment import read_table
from gradledger.state.torch_state import restore_rng, training_fingerprint


class Observer(Protocol):
    """What a rerun does with every update."""

    def book(
        self, recorder: Recorder, step: Step, sizes: Sequence[int], routed: frozenset[int]
    ) -> None:
        """Look at the update that just happened."""


class RerunJournal:
    """The journal of a rerun: compares instead of writing.

    Args:
        run: The recorded run.
        observer: Sees every update.

    Attributes:
        start: The step after which the replay begins; 0 for the opening state.
        stop: The last step that is executed.
    """

    #: Attributes that a replay goes on with when it was killed; values that JSON knows.
    NOTED: ClassVar[tuple[str, ...]] = ()

    def __init__(self, run: RecordedRun, observer: Observer) -> None:
        self.run, self._observer = run, observer
        self.keeper: Keeper | None = None
        self._folder: Path | None = None
        self.start, self.stop = 0, run.num_steps
        self._order = run.order()
        self._salts = Salts(run.run_dir)
        self._num_items = 0
        self._waiting = False

    def begin_at(self, start: int, folder: Path | None = None) -> None:
        """Begin after this step; called before the recorder is attached.

        Args:
            start: The step.
            folder: A state of this replay itself; by default the recorded one.

        Raises:
            ReplayError: No model state is stored there. Code R102.
        """
        self._folder = self.run.state_dir(start) if folder is None else folder
        self.start, self._order = start, self.run.order(start)

    def attention(self, *, visits: bool) -> Attention:
        """Say how closely the recorder must look.

        Args:
            visits: Whether gradients of single visits are measured.
        """
        return Attention(visits=visits, profiles=self.is_limited())

    def is_limited(self) -> bool:
        """Whether a visit may have a depth profile other than full."""
        in_force = self.run.begin["settings"]["profiles"]
        decision, admitted, profile_names = self.run.decisions()
        used = {profile_names[code] for code in np.unique(decision[admitted])}
        return any(weight != 1.0 for name in used for weight in in_force[name])

    def read_notes(self) -> dict[str, Any]:
        """Return what was found so far: the attributes named in ``NOTED``."""
        return {name: getattr(self, name) for name in self.NOTED}

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on from what ``read_notes`` returned."""
        for name in self.NOTED:
            setattr(self, name, notes[name])

    def open(self, recorder: Recorder) -> None:
        """Bring everything to the stored state.

        Random numbers are those of the opening until the loop asks for its first batch: what the
        script does before that, it did then.
        """
        loaded = restore(self._state(), recorder)
        restore_rng(self.run.state_dir(0))
        if self.start:
            recorder.num_steps, self._waiting = self.start, True
            recorder.passes.expect(loaded.position["passes"], loaded.extra)

    def admit(
        self,
        recorder: Recorder,
        dataset: Any,
        metadata: Any,  # noqa: ARG002 - part of Journal; the recorded decisions stand
    ) -> AdmittedDataset:
        """Take the recorded decisions; nothing is decided again."""
        first, count = self._num_items, len(dataset)
        decision, admitted, profile_names = self.run.decisions()
        part = slice(first, first + count)
        in_force = self.run.begin["settings"]["profiles"]
        numbers = {FULL: 0}
        for name in sorted({profile_names[code] for code in decision[part][admitted[part]]}):
            numbers[name] = recorder.weights.add(name, in_force[name])
        profile = np.asarray(
            [numbers.get(profile_names[code], 0) for code in decision[part]], np.int32
        )
        columns = read_table(self.run.run_dir, "decisions/examples").slice(first, count).to_pydict()
        sources = [str(value) for value in columns.get("source", ["data"] * count)]
        contents = [None if value is None else bytes.fromhex(value) for value in columns["content"]]
        self._compare_content(dataset, sources, contents, first)
        recorder.examples.extend(
            decision[part], profile, admitted[part], sources, contents, columns["example_id"]
        )
        self._num_items += count
        kept = np.flatnonzero(admitted[part])
        return AdmittedDataset(dataset, kept.tolist(), (kept + first).tolist())

    def _compare_content(
        self, dataset: Any, sources: list[str], contents: list[bytes | None], first: int
    ) -> None:
        for place, (source, content) in enumerate(zip(sources, contents, strict=True)):
            if content is None:
                continue
            found = self.commit(source, item_digest(dataset[place]))
            if found != content:
                raise ReplayError(
                    "R104",
                    observed=f"content {found.hex()[:16]} of example {first + place}",
                    expected=f"content {content.hex()[:16]}, as recorded",
                    where=str(self.run.run_dir),
                    hint="replay with the data set that the run was recorded with",
                )

    def commit(self, source: str, content: bytes) -> bytes:
        """Return the keyed commitment under the recorded salt."""
        return self._salts.commit(source, content)

    def order(self) -> RecordedOrder | None:
        """Feed the recorded order."""
        return self._order

    def begin_step(self, recorder: Recorder, step: Step) -> None:
        """Compare the state before the step."""
        if step.number > self.stop:
            raise RecordEnd
        self._compare(recorder, step, 0)

    def presented(self, step: Step, micro: MicroBatch) -> None:
        """Compare what is presented with what was: which examples, and their tensors."""
        self._order.use()
        number = len(step.micro_batches)
        recorded = [v for v in self.run.visits_of(step.number) if v.micro_batch == number]
        where = f"{self.run.run_dir}, step {step.number}, micro-batch {number}"
        wanted = [visit.example for visit in recorded]
        if (found := micro.examples.tolist()) != wanted:
            raise ReplayError(
                "R141",
                observed=f"examples {found!s:.100}",
                expected=f"{wanted!s:.100}, as recorded",
                where=where,
                hint="a loop that begins in the middle goes on from run.num_steps",
            )
        for visit, digest in zip(recorded, micro.digests, strict=True):
            if visit.digest != digest:
                raise ReplayError(
                    "R142",
                    observed=f"content {digest.hex()[:16]} of example {visit.example}",
                    expected=f"{visit.digest.hex()[:16]}, as presented in the recorded run",
                    where=where,
                    hint="see how-to/make-training-deterministic.md: data and what changes them "
                    "at random must be as they were",
                )

    def between_steps(self, recorder: Recorder) -> bool:
        """Restore, once, what a replay in the middle goes on from; keep a state where one is due.

        Raises:
            RecordEnd: The last step that is asked for was executed, and the run has more of them.
        """
        if self._waiting:
            self._waiting = False
            proceed(self._state(), recorder)
            return True
        if self.stop <= recorder.num_steps < self.run.num_steps:
            raise RecordEnd
        if self.keeper is not None and recorder.num_steps > self.start:
            self.keeper.between_steps(recorder, self.read_notes())
        return False

    def _state(self) -> Path:
        return self._folder or self.run.state_dir(self.start)

    def before_update(self, step: Step) -> None:
        """Do nothing: what is about to happen is on record."""

    def book(
        self, recorder: Recorder, step: Step, sizes: Sequence[int], routed: frozenset[int]
    ) -> None:
        """Show the update to the observer."""
        self._observer.book(recorder, step, sizes, routed)

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Compare the state after the step."""
        self._compare(recorder, step, 1)

    def balance(self) -> str:
        """Say that what was compared so far is the same."""
        return "bit-identical"

    def close(self, recorder: Recorder) -> None:
        """Nothing is held."""

    def abort(self) -> None:
        """Nothing is held."""

    def _compare(self, recorder: Recorder, step: Step, side: int) -> None:
        found = training_fingerprint(recorder.model, recorder.optimizer)
        recorded = self.run.fingerprints.get(step.number, ("none", "none"))[side]
        if found != recorded:
            raise ReplayError(
                "R103",
                observed=f"fingerprint {found} {('before', 'after')[side]} step {step.number}",
                expected=f"{recorded}, as recorded",
                where=str(self.run.run_dir),
                hint="replay on the same kind of machine, library versions and thread count, "
                "with the script that was recorded",
            )
