"""Probes of the synthetic run: ``code`` is settled over two intervals, ``prose`` only measured."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from make_preamble import BUFFERS, EXAMPLES, NUM_STEPS, NUM_VISITS, SIZE, UNCAPTURED, write

from gradledger.schema import ACCRUAL_LINES

#: Ends of the intervals of ``code``.
ENDS = (0, NUM_STEPS // 2, NUM_STEPS)
#: What curvature leaves in each interval, nats.
RESIDUALS = (0.25, -0.1)
#: What buffers did in the second interval, nats.
BUFFER_NATS = 0.05
START_VALUE = 4.0


def make_probes(truth: Any) -> None:
    """Write the tables of probes; the mean gradients are drawn, everything else follows."""
    rng = np.random.default_rng(11)
    visits: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    intervals: list[dict[str, Any]] = []
    values = [("prose", 0, 3.0), ("prose", NUM_STEPS, 2.5), ("code", 0, START_VALUE)]
    for number, (start, stop) in enumerate(pairwise(ENDS)):
        head = {"probe": "code", "interval": number, "start_step": start, "stop_step": stop}
        for group in range(BUFFERS):
            truth.gradient[number, group] = rng.standard_normal(SIZE)
        visits += _visits(truth, head, number)
        own = _lines(truth, head, number)
        if number:
            own.append({**head, "group": None, "line": "buffers", "nats": BUFFER_NATS})
        lines += own
        explained = sum(row["nats"] for row in own)
        before = values[-1][2]
        after = before + explained + RESIDUALS[number]
        values.append(("code", stop, after))
        intervals.append(
            {**head, "before": before, "after": after, "measured": after - before,
             "linear": explained + 1e-9, "explained": explained,
             "residual": after - before - explained}
        )  # fmt: skip
    named = [dict(zip(("probe", "step", "value"), row, strict=True)) for row in values]
    for table, rows in (
        ("values", named), ("visits", visits), ("lines", lines), ("intervals", intervals)
    ):  # fmt: skip
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
        for name in {"step", "interval", "start_step", "stop_step", "group"} & columns.keys():
            columns[name] = pa.array(columns[name], pa.int32())
        write(truth.path / "probes" / table, columns)


def _visits(truth: Any, head: dict[str, Any], number: int) -> list[dict[str, Any]]:
    rows = []
    for step in range(head["start_step"] + 1, head["stop_step"] + 1):
        for visit in range(NUM_VISITS):
            example = truth.example[step, visit]
            nats = {
                f"nats_{group}": float(
                    truth.entry[step, visit, group] @ truth.gradient[number, group]
                )
                for group in range(UNCAPTURED)
            }
            rows.append(
                {**head, "step": step, "micro_batch": 0, "position": visit, "example": example,
                 "decision": EXAMPLES[example][2], **nats}
            )  # fmt: skip
    return rows


def _lines(truth: Any, head: dict[str, Any], number: int) -> list[dict[str, Any]]:
    rows = []
    for group in range(BUFFERS):
        for line in ACCRUAL_LINES:
            total = sum(
                (
                    truth.lines[step, group, line]
                    for step in range(head["start_step"] + 1, head["stop_step"] + 1)
                ),
                np.zeros(SIZE),
            )
            nats = float(total @ truth.gradient[number, group])
            rows.append({**head, "group": group, "line": line, "nats": nats})
    return rows
