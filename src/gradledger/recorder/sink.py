"""Where booked rows go: columns are gathered per step and sealed into segments together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from gradledger.log import RunLog
from gradledger.recorder.sketching import Sketcher
from gradledger.recorder.write_ahead import VisitRows, WriteAhead
from gradledger.schema import BOOKS, SKETCHES, STEPS, VISITS
from gradledger.segment import SealedSegment, SegmentWriter

__all__ = ["Sealing", "Sink", "VisitRows"]


@dataclass(frozen=True)
class Sealing:
    """When gathered rows are sealed: at whichever of these comes first.

    Attributes:
        rows: Visits.
        steps: Steps; 0 for no such limit.
        seconds: Wall time since the last seal; 0 for no such limit.
    """

    rows: int = 131_072
    steps: int = 0
    seconds: float = 60.0


class Sink:
    """Gathers rows and seals visits, books and steps at the same step, in this order.

    Steps come last, so that a step that readers see has all of its visits and books. Until rows
    are sealed they stand in the write-ahead log too, where there is one; sealed segments go into
    the run's log.

    Args:
        run_dir: The run.
        groups: Numbers of the parameter groups that have visit columns.
        prefixes: Which measures are booked per visit and group.
        sealing: When segments are sealed.

    Attributes:
        sketcher: Has the sketches of the step that is added; None where nothing is sketched.
    """

    def __init__(
        self, run_dir: Path, groups: Sequence[int], prefixes: Sequence[str], sealing: Sealing
    ) -> None:
        self._groups, self._prefixes, self._sealing = list(groups), list(prefixes), sealing
        self.write_ahead: WriteAhead | None = None
        self._sealed_at = time.monotonic()
        extra = {f"{prefix}_{group}": "float32" for prefix in prefixes for group in groups}
        self._writers = {
            "visits": SegmentWriter(run_dir, "visits", extra),
            "books": SegmentWriter(run_dir, "books", {}),
            "steps": SegmentWriter(run_dir, "steps", {}),
        }
        self._run_dir = run_dir
        self.sketcher: Sketcher | None = None
        self._visits: list[VisitRows] = []
        self._steps: list[Mapping[str, Any]] = []
        self._books: list[Mapping[str, Any]] = []
        self._num_rows = 0
        self.log: RunLog | None = None
        self._sealed: list[SealedSegment] = []

    def add(
        self, visits: VisitRows, books: Sequence[Mapping[str, Any]], step: Mapping[str, Any]
    ) -> None:
        """Add one step; seal when enough has come together.

        Raises:
            StorageError: The disk refuses; the rows are kept here. Code S112.
        """
        self._visits.append(visits)
        self._books.extend(books)
        self._steps.append(step)
        self._num_rows += len(visits.columns["step"])
        self._add_sketches(visits)
        if self.write_ahead is not None:
            self.write_ahead.commit(visits, books, step)
        if self._is_due():
            self.seal()

    def seal(self) -> None:
        """Write what was gathered as one segment per table."""
        if self._visits:
            self._writers["visits"].append(self._visit_columns())
        if self._books:
            self._writers["books"].append(_columns(self._books, BOOKS))
        if self._steps:
            self._writers["steps"].append(_columns(self._steps, STEPS))
        self._visits, self._steps, self._books, self._num_rows = [], [], [], 0
        # A writer that the disk refused keeps its rows: the next seal tries again.
        for writer in self._writers.values():
            if (sealed := writer.seal()) is not None:
                self._sealed.append(sealed)
        if self.log is not None:
            # What the disk refuses here is in neither lost: the next seal tries again.
            self.log.add_segments(self._sealed)
        self._sealed = []
        if self.write_ahead is not None:
            self.write_ahead.clear()
        self._sealed_at = time.monotonic()

    def recover(
        self,
        visits: Sequence[VisitRows],
        books: Sequence[Mapping[str, Any]],
        steps: Sequence[Mapping[str, Any]],
    ) -> None:
        """Seal rows that a session left unsealed; each table may lack other ones."""
        self._visits, self._books, self._steps = list(visits), list(books), list(steps)
        self.seal()

    def close(self, *, remove_log: bool = False) -> None:
        """Close the write-ahead log; remove it where all is sealed and the run is closed."""
        if self.write_ahead is not None:
            self.write_ahead.close(remove=remove_log)
            self.write_ahead = None

    def begin(self, step: int, number_of_pass: int, num_visits: int) -> None:
        """Decide whether a step that is about to be booked is sketched."""
        if self.sketcher is not None:
            self.sketcher.begin(step, number_of_pass, num_visits)

    def totals(self) -> dict[str, Any]:
        """Say what was sketched and what was dropped; nothing at other levels."""
        return {} if self.sketcher is None else self.sketcher.totals()

    def _add_sketches(self, visits: VisitRows) -> None:
        if self.sketcher is None or not self.sketcher.is_due:
            return
        if "sketches" not in self._writers:
            extra = self.sketcher.column_types()
            self._writers["sketches"] = SegmentWriter(self._run_dir, "sketches", extra)
        places = {name: visits.columns[name] for name in SKETCHES}
        self._writers["sketches"].append({**places, **self.sketcher.columns()})

    def _is_due(self) -> bool:
        limits = self._sealing
        return (
            self._num_rows >= limits.rows
            or 0 < limits.steps <= len(self._steps)
            or 0 < limits.seconds <= time.monotonic() - self._sealed_at
        )

    def _visit_columns(self) -> dict[str, Any]:
        columns: dict[str, Any] = {
            name: [value for rows in self._visits for value in rows.columns[name]]
            for name in VISITS
        }
        for prefix in self._prefixes:
            matrix = np.concatenate([rows.measures[prefix] for rows in self._visits])
            for place, group in enumerate(self._groups):
                columns[f"{prefix}_{group}"] = np.ascontiguousarray(matrix[:, place])
        return columns


def _columns(rows: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, list[Any]]:
    known = set[str]().union(*rows)
    return {name: _column(rows, name) if name in known else [None] * len(rows) for name in names}


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:  # some rows have it: half as fast
        return [row.get(name) for row in rows]
