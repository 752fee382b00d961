"""A small synthetic run with known vectors, so that every answer can be checked by hand.

Parameters are five numbers per group. Every step draws the direct part of each visit and the other
lines of the books as vectors; the delta is their sum. Nothing here imports the code under test but
the schema, and tables are written with pyarrow alone.

Profile ``shallow`` has weight 0 in the two deepest blocks. Group 6 has no capture, group 7 holds
buffers. Step 4 leaves group 2 unchanged; in step 7 the delta of group 3 is not finite, in step 8
a line of group 4; in step 9 one visit lacks a finite alignment in group 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from make_preamble import (
    BUFFERS,
    DECISIONS,
    EXAMPLES,
    GROUPS,
    NUM_STEPS,
    NUM_VISITS,
    PROFILES,
    SIZE,
    UNCAPTURED,
    write,
    write_decisions,
    write_documents,
)
from make_probes import make_probes
from numpy.typing import NDArray

from gradledger.schema import ACCRUAL_LINES, BOOKS, CASH_LINES

Vector = NDArray[np.float64]


@dataclass
class Truth:
    """The vectors behind the tables, by step, group and visit."""

    path: Path
    example: dict[tuple[int, int], int] = field(default_factory=dict)
    cash: dict[tuple[int, int, int], Vector] = field(default_factory=dict)
    entry: dict[tuple[int, int, int], Vector] = field(default_factory=dict)
    norm: dict[tuple[int, int, int], float] = field(default_factory=dict)
    delta: dict[tuple[int, int], Vector] = field(default_factory=dict)
    lines: dict[tuple[int, int, str], Vector] = field(default_factory=dict)
    gradient: dict[tuple[int, int], Vector] = field(default_factory=dict)

    def usable(self, step: int, group: int) -> bool:
        return (step, group) not in {(7, 3), (8, 4)}

    def energy(
        self, group: int, examples: Iterable[int], steps: Iterable[int] = range(1, NUM_STEPS + 1)
    ) -> float:
        """Sum of <direct part, delta> of those examples' visits, by plain loops."""
        wanted = set(examples)
        return sum(
            float(self.cash[step, visit, group] @ self.delta[step, group])
            for step in steps
            for visit in range(NUM_VISITS)
            if self.example[step, visit] in wanted
            and self.usable(step, group)
            and (step, visit, group) != (9, 0, 0)
        )

    def whole(self, group: int, steps: Iterable[int] = range(1, NUM_STEPS + 1)) -> float:
        """Sum of |delta|^2."""
        return sum(
            float(self.delta[step, group] @ self.delta[step, group])
            for step in steps
            if self.usable(step, group)
        )

    def displacement(self, group: int, start: int = 0, stop: int = NUM_STEPS) -> Vector:
        """Change of the group from after ``start`` to after ``stop``."""
        return sum((self.delta[s, group] for s in range(start + 1, stop + 1)), np.zeros(SIZE))

    def displaced(self, group: int, examples: Iterable[int], stop: int = NUM_STEPS) -> float:
        """Inner product of those examples' entries with the displacement."""
        wanted, end = set(examples), self.displacement(group, 0, stop)
        return sum(
            float(self.entry[step, visit, group] @ end)
            for step in range(1, stop + 1)
            for visit in range(NUM_VISITS)
            if self.example[step, visit] in wanted
        )


def make_run(
    path: Path,
    *,
    displacement: bool = True,
    closed: bool = True,
    level: str = "shares",
    metadata: dict[str, list[Any]] | None = None,
) -> Truth:
    """Write the run below ``path`` and return what is in it."""
    rng = np.random.default_rng(7)
    truth = Truth(path)
    columns = metadata or {
        "source": [row[0] for row in EXAMPLES],
        "license": [row[1] for row in EXAMPLES],
        "path": [f"src/{row[0][-1]}/file_{number}.py" for number, row in enumerate(EXAMPLES)],
    }
    path.mkdir(parents=True)
    write_documents(path, level, closed)
    write_decisions(path, columns)
    books: list[dict[str, Any]] = []
    for step in range(1, NUM_STEPS + 1):
        for visit in range(NUM_VISITS):
            truth.example[step, visit] = int(rng.integers(0, 10))
        books += [_step(rng, truth, step, group) for group in range(BUFFERS)]
    write(path / "books", {name: [row.get(name) for row in books] for name in BOOKS})
    _visits(path, truth, level)
    _steps(path)
    if displacement:
        _displacement(path, truth)
        make_probes(truth)
    return truth


def weight(truth: Truth, step: int, visit: int, group: int) -> float:
    """Depth weight of a visit in a group."""
    profile = DECISIONS[EXAMPLES[truth.example[step, visit]][2]][2]
    return PROFILES[profile][GROUPS[group][1]]


def _step(rng: np.random.Generator, truth: Truth, step: int, group: int) -> dict[str, Any]:
    """Draw the vectors of one step and group; return its row of the books."""
    factor = 0.1 + 0.01 * group + 0.001 * step
    zero = np.zeros(SIZE)
    unchanged = (step, group) == (4, 2)
    captured = group != UNCAPTURED
    if captured:
        for visit in range(NUM_VISITS):
            depth = weight(truth, step, visit, group)
            truth.cash[step, visit, group] = (
                zero if unchanged else depth * 0.1 * rng.standard_normal(SIZE)
            )
            truth.entry[step, visit, group] = truth.cash[step, visit, group] / factor
            truth.norm[step, visit, group] = depth * (0.0 if unchanged else 1 + rng.random())
    cash_sum = sum((truth.cash.get((step, v, group), zero) for v in range(NUM_VISITS)), zero)
    lines = {line: 0.02 * rng.standard_normal(SIZE) for line in CASH_LINES}
    lines["history"] = 0.3 * rng.standard_normal(SIZE)
    lines["residual"] = 1e-8 * rng.standard_normal(SIZE)
    if unchanged:
        lines = dict.fromkeys(CASH_LINES, zero)
    lines["contributions"] = cash_sum
    delta = sum(lines.values(), zero)
    truth.delta[step, group] = delta
    accrual = {line: 0.02 * rng.standard_normal(SIZE) for line in ACCRUAL_LINES}
    accrual["accrued_contributions"] = cash_sum / factor
    accrual["inventory"] = zero
    accrual["inventory"] = delta - sum(accrual.values(), zero)
    row: dict[str, Any] = {
        "step": step, "group": group, "delta_norm": float(np.linalg.norm(delta)),
        "learning_rate": 1e-3, "clip": 0.9, "cash_factor": factor if captured else None,
        "routed": captured, "visit_norms": 1.0, "residual_ratio": 1e-8 * (1 + group + step / 100),
        "gap_ratio": 1e-7 * (1 + step + group / 100), "gap_noise_ratio": None,
        "gap_excess_ratio": None, "rounding_ratio": 1e-4, "ulp_ratio": 1e-5,
        "verdict": "unchanged" if unchanged else "balanced",
    }  # fmt: skip
    for line, vector in (*lines.items(), *accrual.items()):
        truth.lines[step, group, line] = vector
        row[f"{line}_norm"] = float(np.linalg.norm(vector))
        row[f"{line}_dot"] = float(vector @ delta)
    if not truth.usable(step, group):
        row["verdict"] = "not finite"
        row["delta_norm" if step == 7 else "residual_dot"] = float("nan")
    return row


def _visits(path: Path, truth: Truth, level: str) -> None:
    keys = [(s, v) for s in range(1, NUM_STEPS + 1) for v in range(NUM_VISITS)]
    columns: dict[str, Any] = _visit_columns(truth, keys)
    columns["loss"] = pa.array([2.0 - 0.01 * s for s, _ in keys], pa.float32())
    columns["tokens"] = pa.array([None] * len(keys), pa.int32())
    columns["digest"] = pa.array([b"\0" * 32] * len(keys), pa.binary(32))
    for group in range(UNCAPTURED) if level == "shares" else ():
        align = [float(truth.entry[s, v, group] @ truth.delta[s, group]) for s, v in keys]
        if group == 0:
            align[keys.index((9, 0))] = float("nan")
        columns[f"align_{group}"] = pa.array(align, pa.float32())
        columns[f"gnorm_{group}"] = pa.array(
            [truth.norm[s, v, group] for s, v in keys], pa.float32()
        )
    write(path / "visits", columns)


def _visit_columns(truth: Truth, keys: list[tuple[int, int]]) -> dict[str, Any]:
    examples = [truth.example[key] for key in keys]
    return {
        "step": pa.array([s for s, _ in keys], pa.int32()),
        "micro_batch": pa.array([0] * len(keys), pa.int16()),
        "position": pa.array([v for _, v in keys], pa.int16()),
        "example": pa.array(examples, pa.int32()),
        "decision": pa.array([EXAMPLES[e][2] for e in examples], pa.int32()),
    }


def _displacement(path: Path, truth: Truth) -> None:
    """Two intervals: the whole run, and its first half."""
    visits: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for number, stop in enumerate((NUM_STEPS, NUM_STEPS // 2)):
        bounds = {"interval": number, "start_step": 0, "stop_step": stop}
        ends = [truth.displacement(group, 0, stop) for group in range(BUFFERS)]
        for step in range(1, stop + 1):
            for visit in range(NUM_VISITS):
                example = truth.example[step, visit]
                visits.append(
                    {**bounds, "step": step, "micro_batch": 0, "position": visit,
                     "example": example, "decision": EXAMPLES[example][2]}
                    | {f"share_{g}": float(truth.entry[step, visit, g] @ ends[g])
                       for g in range(UNCAPTURED)}
                )  # fmt: skip
        for group, end in enumerate(ends):
            for line in ACCRUAL_LINES:
                entries = [truth.lines[s, group, line] for s in range(1, stop + 1)]
                total = sum(entries, np.zeros(SIZE))
                lines.append({**bounds, "group": group, "line": line, "dot": float(total @ end),
                              "displacement_sq": float(end @ end)})  # fmt: skip
    for folder, rows in (("visits", visits), ("lines", lines)):
        write(path / "displacement" / folder, {k: [r[k] for r in rows] for k in rows[0]})


def _steps(path: Path) -> None:
    steps = list(range(1, NUM_STEPS + 1))
    columns: dict[str, Any] = {
        "step": pa.array(steps, pa.int32()), "micro_batches": pa.array([1] * 20, pa.int16()),
        "visits": pa.array([NUM_VISITS] * 20, pa.int32()), "loss": [2.0 - 0.01 * s for s in steps],
        "wall_seconds": [0.05] * 20, "record_seconds": [0.01] * 20,
        "fingerprint_before": ["0" * 16] * 20, "fingerprint_after": ["1" * 16] * 20,
        "rng_fingerprint": ["2" * 16] * 20, "skipped": [False] * 20,
        "coupled": [s == 3 for s in steps],
        "verdict": ["not finite" if s == 7 else "balanced" for s in steps],
    }  # fmt: skip
    write(path / "steps", columns)
