"""Where booked rows go: columns are gathered per step and sealed into segments together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradledger.schema import BOOKS, STEPS, VISITS
from gradledger.segment import SegmentWriter

Matrix = NDArray[np.float32]


@dataclass
class VisitRows:
    """The visits of one step.

    Attributes:
        columns: The fixed columns of the visits table, each as long as the step has visits.
        measures: Prefix (``align``, ``gnorm``, ``unorm``) -> one row per visit, one column per
            parameter group.
    """

    columns: dict[str, Any]
    measures: dict[str, Matrix] = field(default_factory=dict)


class Sink:
    """Gathers rows and seals visits, steps and books at the same step.

    Args:
        run_dir: The run.
        groups: Numbers of the parameter groups that have visit columns.
        prefixes: Which measures are booked per visit and group.
        seal_rows: Visits after which a segment is sealed.
    """

    def __init__(
        self, run_dir: Path, groups: Sequence[int], prefixes: Sequence[str], seal_rows: int
    ) -> None:
        self._groups, self._prefixes, self._seal_rows = list(groups), list(prefixes), seal_rows
        extra = {f"{prefix}_{group}": "float32" for prefix in prefixes for group in groups}
        self._writers = {
            "visits": SegmentWriter(run_dir, "visits", extra),
            "steps": SegmentWriter(run_dir, "steps", {}),
            "books": SegmentWriter(run_dir, "books", {}),
        }
        self._visits: list[VisitRows] = []
        self._steps: list[Mapping[str, Any]] = []
        self._books: list[Mapping[str, Any]] = []
        self._num_rows = 0

    def add(
        self, visits: VisitRows, books: Sequence[Mapping[str, Any]], step: Mapping[str, Any]
    ) -> None:
        """Add one step; seal when enough rows have come together."""
        self._visits.append(visits)
        self._books.extend(books)
        self._steps.append(step)
        self._num_rows += len(visits.columns["step"])
        if self._num_rows >= self._seal_rows:
            self.seal()

    def seal(self) -> None:
        """Write what was gathered as one segment per table."""
        if self._steps:
            self._writers["visits"].append(self._visit_columns())
            self._writers["books"].append(_columns(self._books, BOOKS))
            self._writers["steps"].append(_columns(self._steps, STEPS))
            self._visits, self._steps, self._books, self._num_rows = [], [], [], 0
        # A writer that the disk refused keeps its rows: the next seal tries again.
        for writer in self._writers.values():
            writer.seal()

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
    return {name: [row.get(name) for row in rows] for name in names}
