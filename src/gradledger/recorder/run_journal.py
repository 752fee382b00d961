"""The journal that writes a run: decisions, visits, steps, books, states, begin and end."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradledger.errors import BooksError
from gradledger.log import write_manifest
from gradledger.recorder.admit import Admitter
from gradledger.recorder.examples import AdmittedDataset
from gradledger.recorder.sink import Sink, VisitRows
from gradledger.recorder.totals import Totals
from gradledger.schema import RunBegin, RunEnd
from gradledger.segment import RunLock, write_json
from gradledger.state.torch_state import (
    model_digest,
    rng_fingerprint,
    save_state,
    training_fingerprint,
)

if TYPE_CHECKING:
    from gradledger.recorder.recorder import Recorder
    from gradledger.recorder.step import Step


class RunJournal:
    """Writes one run directory.

    Args:
        run_dir: Exists, is empty and locked.
        begin: The begin record, without what admission adds.
        admitter: Decides data sets.
        sink: Takes rows.
        state_every: Store the model state every so many steps; 0 for first and last only.
        lock: Held while the run is written.
    """

    def __init__(
        self,
        run_dir: Path,
        begin: RunBegin,
        admitter: Admitter,
        sink: Sink,
        state_every: int,
        lock: RunLock,
    ) -> None:
        self.run_dir, self.begin, self.totals = run_dir, begin, Totals()
        self._admitter, self._sink, self._state_every, self._lock = (
            admitter,
            sink,
            state_every,
            lock,
        )
        self._fingerprint = ""
        self._before: dict[str, str] = {}
        self._rows: list[dict[str, Any]] = []
        self._measures: Mapping[str, Any] = {}
        self._started = time.perf_counter()
        self._train_seconds = self._record_seconds = 0.0
        self._stored = -1

    def open(self, recorder: Recorder) -> None:
        """Write the begin record and the opening state."""
        write_json(self.run_dir / "run.json", asdict(self.begin))
        self._store_state(recorder, 0)

    def admit(self, recorder: Recorder, dataset: Any, metadata: Any) -> AdmittedDataset:
        """Decide a data set and write the decisions."""
        return self._admitter.admit(
            dataset,
            metadata,
            recorder.examples,
            recorder.weights,
            lambda profiles: recorder.weights.refuse_coupled(profiles, recorder.coupled()),
        )

    def commit(self, source: str, content: bytes) -> bytes:
        """Return the keyed commitment under the source's salt."""
        return self._admitter.salts.commit(source, content)

    def order(self) -> Iterator[Sequence[int]] | None:
        """Let the loader decide the order."""
        return None

    def begin_step(self, recorder: Recorder, step: Step) -> None:
        """Take fingerprints and compare them with those after the step before."""
        before = training_fingerprint(recorder.model, recorder.optimizer)
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

    def book(
        self, recorder: Recorder, step: Step, sizes: Sequence[int], routed: frozenset[int]
    ) -> None:
        """Book the update."""
        books = recorder.booker.after_update(step.number, sizes, routed)
        self._rows = [*books.rows, *recorder.buffers.rows(step.number)]
        self._measures = books.measures

    def end_step(self, recorder: Recorder, step: Step) -> None:
        """Write the rows of the step; store a state where one is due."""
        started = time.perf_counter()
        num_visits = sum(len(micro) for micro in step.micro_batches)
        verdict = self.totals.add(self._rows, num_visits)
        self._fingerprint = training_fingerprint(recorder.model, recorder.optimizer)
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
        self._sink.add(self._visit_rows(recorder, step), self._rows, row)
        if self._state_every and step.number % self._state_every == 0:
            self._store_state(recorder, step.number)
        if verdict in ("unbalanced", "not finite") and self.begin.on_imbalance == "strict":
            self._stop_unbalanced(step)

    def balance(self) -> str:
        """Say how the books stand: the largest residual, or how many steps do not balance."""
        return self.totals.in_words()

    def close(self, recorder: Recorder) -> None:
        """Seal, store the final state, write the end record and the manifest."""
        self._sink.seal()
        if self._stored != recorder.num_steps:
            self._store_state(recorder, recorder.num_steps)
        end = RunEnd(
            closed_at=datetime.now(UTC).isoformat(),
            num_steps=recorder.num_steps,
            num_visits=self.totals.num_visits,
            final_digest=model_digest(recorder.model),
            balance=self.totals.to_dict(),
            totals={
                "wall_seconds": time.perf_counter() - self._started,
                "step_seconds": self._train_seconds,
                "record_seconds": self._record_seconds,
                "examples": len(recorder.examples),
                "admitted": int(recorder.examples.admitted.sum()),
                "coupled_modules": recorder.coupled(),
            },
        )
        write_json(self.run_dir / "end.json", asdict(end))
        write_manifest(self.run_dir)
        self._lock.release()

    def abort(self) -> None:
        """Seal what is complete and let go of the run; there is no end record."""
        self._sink.seal()
        self._lock.release()

    def _store_state(self, recorder: Recorder, number: int) -> None:
        self._sink.seal()
        accounts = {
            f"{entry.name}/{name}": tensor
            for entries in recorder.booker.tracked
            for entry in entries
            for name, tensor in entry.account.to_tensors().items()
        }
        save_state(
            self.run_dir / "states" / f"step={number}",
            recorder.model,
            recorder.optimizer,
            accounts,
            {"step": number},
        )
        self._stored = number

    def _visit_rows(self, recorder: Recorder, step: Step) -> VisitRows:
        micros = step.micro_batches
        numbers = (
            np.concatenate([micro.examples for micro in micros]) if micros else np.empty(0, int)
        )
        columns: dict[str, Any] = {
            "step": [step.number] * len(numbers),
            "micro_batch": [place for place, micro in enumerate(micros) for _ in range(len(micro))],
            "position": [place for micro in micros for place in range(len(micro))],
            "example": numbers.tolist(),
            "decision": recorder.examples.decision[numbers].tolist(),
            "loss": [value for micro in micros for value in _or_blank(micro.losses, len(micro))],
            "tokens": [value for micro in micros for value in _or_blank(micro.tokens, len(micro))],
            "digest": [value for micro in micros for value in micro.digests],
        }
        empty = np.full((len(numbers), len(recorder.grouping.groups)), np.nan, np.float32)
        measures = {name: self._measures.get(name, empty) for name in ("align", "gnorm", "unorm")}
        return VisitRows(columns, measures)

    def _stop_unbalanced(self, step: Step) -> None:
        self._sink.seal()
        bad = [row for row in self._rows if row["verdict"] in ("unbalanced", "not finite")]
        worst = max(bad, key=lambda row: max(row["residual_ratio"] or 0.0, _gap(row)))
        name = next(g.name for g in self.begin.groups if g.group == worst["group"])
        raise BooksError(
            "B101",
            observed=f"residual {worst['residual_ratio'] or 0.0:.3g}, "
            f"gap {_gap(worst):.3g} ({_noise(worst)}{worst['verdict']})",
            expected="both within the tolerance of the number format",
            where=f"step {step.number}, parameter group {name}",
            hint="the step is recorded; look at it with `gradledger books RUN --step "
            f"{step.number}`, or record with on_imbalance='flag'",
        )


def _or_blank(values: Sequence[float] | None, count: int) -> Sequence[float | None]:
    """Return one value per visit; None for each where nothing was given."""
    return values or [None] * count


def _gap(row: Mapping[str, Any]) -> float:
    """Gap ratio of a row; infinite where there is a gap and no visit was captured."""
    return math.inf if row["gap_ratio"] is None else float(row["gap_ratio"])


def _noise(row: Mapping[str, Any]) -> str:
    """Say how much of a gap is no rounding noise, where that was asked."""
    excess = row["gap_excess_ratio"]
    return "" if excess is None else f"{excess:.3g} of it is no rounding noise; "
