"""The records of a run as verification reads them: documents and tables, without SQL or torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gradledger.segment import read_json, read_table


@dataclass(frozen=True)
class Scope:
    """What of a run is checked; all of it by default.

    Attributes:
        step: Only this step.
        example: Only this example.
    """

    step: int | None = None
    example: int | None = None

    @property
    def whole(self) -> bool:
        """Whether everything is checked."""
        return self.step is None and self.example is None

    def covers(self, min_step: int | None, max_step: int | None) -> bool:
        """Whether a segment with rows of these steps is looked at."""
        if self.step is None or min_step is None or max_step is None:
            return True
        return min_step <= self.step <= max_step


class Recorded:
    """Documents and tables of one run.

    Args:
        run_dir: The run.
        scope: Rows of other steps and examples are left out.
    """

    def __init__(self, run_dir: Path, scope: Scope) -> None:
        self.run_dir, self.scope = run_dir, scope

    @cached_property
    def begin(self) -> dict[str, Any]:
        """The begin record."""
        return dict(read_json(self.run_dir / "run.json"))

    @cached_property
    def end(self) -> dict[str, Any] | None:
        """The end record; None where the run is not closed."""
        path = self.run_dir / "end.json"
        return dict(read_json(path)) if path.is_file() else None

    @cached_property
    def steps(self) -> pa.Table:
        """The table of steps."""
        names = ["step", "micro_batches", "visits", "fingerprint_before", "fingerprint_after"]
        return self._rows("steps", [*names, "skipped"])

    @cached_property
    def visits(self) -> pa.Table:
        """Who was presented when, under which decision, with which commitment."""
        names = ["step", "micro_batch", "position", "example", "decision", "digest"]
        return self._rows("visits", names)

    @cached_property
    def examples(self) -> pa.Table:
        """Number, decision, content commitment and source of every example; never scoped."""
        whole = read_table(self.run_dir, "decisions/examples")
        names = ["example", "decision", "content", "source"]
        return whole.select([name for name in names if name in whole.column_names])

    @cached_property
    def decisions(self) -> dict[int, tuple[str, str]]:
        """Verdict and profile of every decision, by number."""
        names = ["decision", "verdict", "profile"]
        columns = read_table(self.run_dir, "decisions/distinct", names).to_pydict()
        rows = zip(columns["decision"], columns["verdict"], columns["profile"], strict=True)
        return {number: (verdict, profile) for number, verdict, profile in rows}

    @cached_property
    def admitted(self) -> NDArray[np.bool_]:
        """Whether each decision admits, by number."""
        count = 1 + max(self.decisions, default=-1)
        verdicts = [self.decisions.get(n, ("", ""))[0] for n in range(count)]
        return np.asarray([verdict == "admit" for verdict in verdicts], np.bool_)

    def gradient_norms(self, groups: Sequence[int]) -> pa.Table:
        """Return step, position, decision and gradient norms of some groups, per visit."""
        names = ["step", "micro_batch", "position", "example", "decision"]
        return self._rows("visits", [*names, *(f"gnorm_{group}" for group in groups)])

    @cached_property
    def books(self) -> pa.Table:
        """All columns of the books."""
        return self._rows("books", None)

    def _rows(self, table: str, columns: Sequence[str] | None) -> pa.Table:
        found = read_table(self.run_dir, table, columns)
        keep = np.ones(found.num_rows, np.bool_)
        for name, value in (("step", self.scope.step), ("example", self.scope.example)):
            if value is not None and name in found.column_names:
                keep &= found[name].to_numpy() == value
        return found if keep.all() else found.filter(pa.array(keep))
