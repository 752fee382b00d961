"""The journal that writes a run: decisions, visits, steps, books, states, begin and end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradledger.errors import BooksError, StorageError
from gradledger.log import write_manifest
from gradledger.recorder.admit import Admitter
from gradledger.recorder.behaviours import Behaviours
from gradledger.recorder.examples import AdmittedDataset
from gradledger.recorder.log_keeper import LogKeeper
from gradledger.recorder.order import RecordedOrder
from gradledger.recorder.resume import Resumption
from gradledger.recorder.schedule import StateSchedule, thin
from gradledger.recorder.sink import Sink
from gradledger.recorder.states import proceed, state_name, store
from gradledger.recorder.totals import Totals
from gradledger.recorder.unbalanced import BAD_VERDICTS, unbalanced
from gradledger.recorder.visit_rows import FULL_BITS, visit_rows
from gradledger.recorder.write_ahead import WriteAhead
from gradledger.recorder.write_counts import WriteCounts, write_counts
from gradledger.schema import RunBegin, RunEnd
from gradledger.segment import RunLock, write_json
from gradledger.state.torch_state import (
    model_digest,
    rng_fingerprint,
    training_fingerprint,
)

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder
    from gradledger.recorder.step import MicroBatch, Step


class RunJournal:
    """Writes one run directory.

    Args:
        run_dir: Exists, is empty and locked.
        begin: The begin record, without what admission adds.
        admitter: Decides data sets.
        sink: Takes rows.
        schedule: When model states are stored, and which stay.
        lock: Held while the run is written.
        behaviours: Measures the probes.
        log: Writes the log.
        resumption: Where the run was cut off before.
    """

    def __init__(
        self,
        run_dir: Path,
        begin: RunBegin,
        admitter: Admitter,
        sink: Sink,
        schedule: StateSchedule,
        lock: RunLock,
        *,
        behaviours: Behaviours,
        log: LogKeeper,
        resumption: Resumption | None = None,
    ) -> None:
        self._resumption, self._waiting, self._due = resumption, False, False
        self.run_dir, self.begin, self.totals = run_dir, begin, Totals()
        self._admitter, self._sink = admitter, sink
        self._schedule, self._lock = schedule, lock
        self._behaviours, self._log = behaviours, log
        self._fingerprint = ""
        self._counts: WriteCounts = ()
        self._before: dict[str, str] = {}
        self._rows: list[dict[str, Any]] = []
        self._measures: Mapping[str, Any] = {}
        self._started, self._stored = time.perf_counter(), -1
        self._train_seconds = self._record_seconds = 0.0

    def open(self, recorder: Recorder) -> None:
        """Write the begin record and the opening state, or go on from a stored one."""
        try:
            session = self._begin(recorder)
            self._sink.write_ahead = WriteAhead(self.run_dir, session)
        except BaseException:
            self._log.close()
            raise

    def _begin(self, recorder: Recorder) -> int:
        """Return the number of the session."""
        if self._resumption is None:
            write_json(self.run_dir / "run.json", asdict(self.begin))
            self._store_state(recorder)
            self._sink.log = self._log.open()
            self._behaviours.after_step(recorder, 0, is_stored=True)
            return 0
        point = self._resumption.open(recorder, self._sink)
        self._stored, self._waiting = point.step, point.step > 0
        self._sink.log = self._log.open()
        self._restore_totals(point.loaded.position)
        self._behaviours.go_on(recorder, point.step)
        return self._resumption.number

    def admit(self, recorder: Recorder, dataset: Any, metadata: Any) -> AdmittedDataset:
        """Decide a data set and write the decisions."""
        admitted = self._admitter.admit(
            dataset,
            metadata,
            recorder.examples,
            recorder.weights,
            lambda profiles: recorder.weights.refuse_coupled(profiles, recorder.coupled),
        )
        self._log.segments(self._admitter.sealed)
        return admitted

    def commit(self, source: str, content: bytes) -> bytes:
        """Return the keyed commitment under the source's salt."""
        return self._admitter.salts.commit(source, content)

    def order(self) -> RecordedOrder | None:
        """Let the loader decide the order."""
        return None

    def presented(self, step: Step, micro: MicroBatch) -> None:
        """Do nothing: visits are written when the step ends."""

    def begin_step(self, recorder: Recorder, step: Step) -> None:
        """Take fingerprints and compare them with those after the step before."""
        before = self._fingerprint_before(recorder)
        if (
            self._fingerprint
            and before != self._fingerprint
            and self.begin.on_imbalance == "strict"
        ):
            raise BooksError(
                "B102",
                observed=f"fingerprint {before}",
                expected=f"{self._fingerprint}, as after step {step.number - 1}",
                where=f"step {step.number}",
                hint="change parameters and optimizer state inside run.step only",
            )
        self._before = {"fingerprint_before": before, "rng_fingerprint": rng_fingerprint()}
        self._rows, self._measures = [], {}

    def _fingerprint_before(self, recorder: Recorder) -> str:
        """Read the state again only where something may have changed."""
        counts = write_counts(recorder.model, recorder.optimizer)
        if recorder.booker.parameters_stand() and self._counts == counts:
            return self._fingerprint
        return training_fingerprint(recorder.model, recorder.optimizer)

    def between_steps(self, recorder: Recorder) -> bool:
        """Restore what a resumed run goes on from, once; or store a state that is due.

        A state is stored when the loop comes back for more, not when the step ends: what the
        script does after a step (a scheduler, an average) belongs to the state.
        """
        if self._waiting:
            self._waiting = False
            proceed(self.run_dir / state_name(self._stored), recorder)
            return True
        if self._due:
            self._store_state(recorder)
        return False

    def before_update(self, step: Step) -> None:
        """Write the intent."""
        if self._sink.write_ahead is not None:
            examples = [micro.examples.tolist() for micro in step.micro_batches]
            self._sink.write_ahead.intend(step.number, self._before["fingerprint_before"], examples)

    def book(
        self, recorder: Recorder, step: Step, sizes: Sequence[int], routed: frozenset[int]
    ) -> None:
        """Book the update."""
        self._sink.begin(step.number, recorder.passes.number, sum(sizes))
        books = recorder.booker.after_update(step.number, sizes, routed)
        self._rows = [*books.rows, *recorder.buffers.rows(step.number)]
        self._measures = books.measures

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Write the rows of the step; store a state where one is due."""
        started = time.perf_counter()
        num_visits = sum(len(micro) for micro in step.micro_batches)
        self._rows = self._rows if step.updated else recorder.buffers.rows(step.number)
        verdict = self.totals.add(self._rows, num_visits)
        self._fingerprint = recorder.booker.hold_parameters(recorder.model)
        self._counts = write_counts(recorder.model, recorder.optimizer)
        now = time.perf_counter()
        step.record_seconds += now - started
        wall = now - step.started
        self._train_seconds += wall
        self._record_seconds += step.record_seconds
        row = {
            "step": step.number,
            "micro_batches": len(step.micro_batches),
            "visits": num_visits,
            "loss": step.loss,
            "wall_seconds": wall,
            "record_seconds": step.record_seconds,
            **self._before,
            "fingerprint_after": self._fingerprint,
            "skipped": not step.updated,
            "coupled": bool(recorder.coupled()),
            "verdict": verdict,
        }
        bits = self.begin.settings.get("visit_bits", FULL_BITS)
        self._sink.add(visit_rows(recorder, step, self._measures, bits), self._rows, row)
        self._due = self._schedule.is_due(step.number)
        self._behaviours.after_step(recorder, step.number, is_stored=self._due)
        if verdict in BAD_VERDICTS and self.begin.on_imbalance == "strict":
            self._sink.seal()
            raise unbalanced(step.number, self._rows, self.begin.groups)

    def balance(self) -> str:
        """Say how the books stand: the largest residual, or how many steps do not balance."""
        return self.totals.in_words()

    def close(self, recorder: Recorder) -> None:
        """Seal, store the final state, write the end record and the manifest."""
        try:
            self._end(recorder)
        finally:
            self.abort()

    def _end(self, recorder: Recorder) -> None:
        self._sink.seal()
        if self._stored != recorder.num_steps:
            self._store_state(recorder)
        self._behaviours.close(recorder)
        self._log.segments([self._behaviours.seal()])
        self._log.commitments(recorder.examples)
        end = RunEnd(
            closed_at=datetime.now(UTC).isoformat(),
            num_steps=recorder.num_steps,
            num_visits=self.totals.num_visits,
            final_digest=model_digest(recorder.model),
            balance=self.totals.to_dict(),
            totals={
                **self._seconds(),
                **self._sink.totals(),
                "examples": len(recorder.examples),
                "admitted": int(recorder.examples.admitted.sum()),
                "coupled_modules": recorder.coupled(),
            },
        )
        write_json(self.run_dir / "end.json", asdict(end))
        self._sink.close(remove_log=True)
        self._log.end()
        write_manifest(self.run_dir)

    def abort(self) -> None:
        """Seal what is complete and let go of the run; there is no end record."""
        try:
            # The disk may have refused before: what is not sealed stands in the log.
            with contextlib.suppress(StorageError):
                self._sink.seal()
                self._log.segments([self._behaviours.seal()])
                self._log.publish()
        finally:
            self._sink.close()
            self._log.close()
            self._lock.release()

    def _store_state(self, recorder: Recorder) -> None:
        self._sink.seal()
        self._log.segments([self._behaviours.seal()])
        position = {
            "fingerprint": self._fingerprint,
            "num_visits": self.totals.num_visits,
            "balance": self.totals.to_dict(),
            "seconds": self._seconds(),
        }
        store(self.run_dir, recorder, position)
        self._stored, self._due = recorder.num_steps, False
        self._log.state(recorder.num_steps)
        thin(self.run_dir, self._schedule, recorder.num_steps, self._log.thinned)

    def _restore_totals(self, position: Mapping[str, Any]) -> None:
        self._fingerprint = position["fingerprint"]
        self.totals.restore(position["step"], position["num_visits"], position["balance"])
        seconds = position["seconds"]
        self._started -= seconds["wall_seconds"]
        self._train_seconds = seconds["step_seconds"]
        self._record_seconds = seconds["record_seconds"]
        self._behaviours.seconds = seconds["probe_seconds"]

    def _seconds(self) -> dict[str, float]:
        return {
            "wall_seconds": time.perf_counter() - self._started,
            "step_seconds": self._train_seconds,
            "record_seconds": self._record_seconds,
            "probe_seconds": self._behaviours.seconds,
        }
