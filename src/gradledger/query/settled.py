"""Show what a settling pass booked: shares of displacement by line, and the course of probes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import pyarrow.compute as pc

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.measures import MEASURE_WORDS
from gradledger.query.records import Records
from gradledger.schema import ACCRUAL_LINES, FROZEN_LINES
from gradledger.segment import read_table

_NAMES: Final = {"displacement": ACCRUAL_LINES, "frozen": FROZEN_LINES}
_LINES: Final = (
    Column("start", "after step", "integer"),
    Column("stop", "to step", "integer"),
    Column("line", "line"),
    Column("share", "share of the displacement", "share"),
)
_PROBES: Final = (
    Column("probe", "probe"),
    Column("measured", "measured [nats]", "number"),
    Column("explained", "booked [nats]", "number"),
    Column("residual", "curvature residual [nats]", "number"),
)
_NOTE: Final = (
    "share: of all groups together, the inner product of a line with the displacement of the "
    "interval, over its square; all lines add up to 1"
)


def settled(records: Records, found: Mapping[str, Any], measure: str = "displacement") -> Answer:
    """Show what a settling pass booked.

    Args:
        records: The run.
        found: What the pass returned.
        measure: One of ``SETTLED``.
    """
    lines = read_table(records.path, f"{measure}/lines")
    rows: list[tuple[Any, ...]] = []
    for start, stop in found["intervals"]:
        mine = lines.filter(
            pc.and_(pc.equal(lines["start_step"], start), pc.equal(lines["stop_step"], stop))
        ).to_pylist()
        square = math.fsum({row["group"]: row["displacement_sq"] for row in mine}.values())
        for line in _NAMES[measure]:
            dot = math.fsum(row["dot"] for row in mine if row["line"] == line)
            rows.append((start, stop, line, dot / square if square else None))
    probes = tuple(
        (name, probe["measured"], probe["explained"], probe["residual"])
        for name, probe in sorted(found.get("probes", {}).items())
    )
    times = "twice" if measure == "frozen" else "again"
    tables = [
        Table("lines", "What made up the displacement", _LINES, tuple(rows)),
        Table("probes", "Probes over the run", _PROBES, probes),
    ]
    return Answer(
        question="settle",
        title=f"Settling of {records.path.name}",
        kind="accounting",
        measure=measure,
        facts={
            "measure": MEASURE_WORDS[measure],
            f"steps executed {times}, bit-identical": found["num_steps"],
        },
        tables=tuple(table for table in tables if table.rows),
        notes=(_NOTE,),
    )
