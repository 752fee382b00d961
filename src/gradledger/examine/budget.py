"""What recording will cost: time as measured, memory as held, disk as rows times columns."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np

from gradledger.examine.arms import Trial
from gradledger.examine.finding import LIMITS, Finding
from gradledger.examine.trial import middle
from gradledger.query import Column, Table
from gradledger.recorder.groups import Grouping
from gradledger.recorder.schedule import StateSchedule
from gradledger.schema import BOOKS, STEPS, VISITS

#: Bytes of one value of each logical type, before compression; text is a fingerprint.
_BYTES: Final[dict[str, int]] = {
    "int16": 2, "int32": 4, "float32": 4, "float64": 8, "bool": 1, "label": 1, "digest": 32,
    "string": 20,
}  # fmt: skip
_ARMS: Final[dict[str, str]] = {
    "plain": "without a recorder",
    "recorded": "every visit booked, all weights 1",
    "routed": "every visit under the most limiting profile",
}


def cost_table(trial: Trial) -> Table:
    """Return wall time per step of each arm, and what recording adds, with quartiles."""
    rows = []
    plain = np.asarray(trial.seconds.get("plain", []))
    for arm, seconds in trial.seconds.items():
        median, low, high = (1000.0 * value for value in middle(seconds))
        added: tuple[float | None, ...] = (None, None, None)
        if arm != "plain":
            added = middle(100.0 * (np.asarray(seconds) / plain[: len(seconds)] - 1.0))
        rows.append((arm, len(seconds), median, low, high, *added, _ARMS[arm]))
    columns = (
        Column("arm", "step"),
        Column("steps", "measured", "integer"),
        Column("median_ms", "median [ms]", "number"),
        Column("lower_ms", "lower quart.", "number"),
        Column("upper_ms", "upper quart.", "number"),
        Column("added_percent", "added [%]", "number"),
        Column("added_lower", "lower quart.", "number"),
        Column("added_upper", "upper quart.", "number"),
        Column("what", "what", wraps=True),
    )
    return Table("cost", "Cost: wall time of one step, arms in turn", columns, tuple(rows))


def memory_table(trial: Trial) -> Table:
    """Return the bytes that recording holds beside training."""
    rows = [(name, size / 2**20, "held at the update") for name, size in trial.held.items()]
    rows.append(("all of these", sum(trial.held.values()) / 2**20, "sum"))
    for arm, peak in trial.peaks.items():
        rows.append((f"peak of a {arm} step", peak / 2**20, "measured on the device"))
    columns = (
        Column("item", "memory"),
        Column("mebibytes", "MiB", "number"),
        Column("how", "how it is known"),
    )
    return Table("memory", "Memory beside training", columns, tuple(rows))


def disk_table(
    grouping: Grouping,
    trial: Trial,
    *,
    level: str,
    update_norms: bool,
    schedule: StateSchedule,
    steps: int | None,
) -> tuple[Table, float | None]:
    """Return bytes per step and for the whole run, and the sum for the run."""
    groups = len(grouping.groups)
    measures = (3 if update_norms else 2) * groups if level != "decisions" else 0
    visits, books, step = (_width(table) for table in (VISITS, BOOKS, STEPS))
    sizes = [
        ("visits", trial.num_visits, len(VISITS) + measures,
         trial.num_visits * (visits + 4 * measures)),
        ("books", groups, len(BOOKS), groups * books),
        ("steps", 1, len(STEPS), step),
    ]  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (name, num_rows, columns, size / 1024, None if steps is None else steps * size / 2**20)
        for name, num_rows, columns, size in sizes
    ]
    whole = None
    if trial.state_bytes:
        states = schedule.num_states(steps or 0)
        rows.append(
            (f"model states ({states})", None, None, None, states * trial.state_bytes / 2**20)
        )
    if steps is not None:
        whole = sum(row[4] for row in rows) * 2**20
        rows.append(("total", None, None, sum(row[3] or 0.0 for row in rows), whole / 2**20))
    columns = (
        Column("table", "on disk"),
        Column("rows_per_step", "rows per step", "integer"),
        Column("columns", "columns", "integer"),
        Column("kibibytes_per_step", "KiB per step", "number"),
        Column("mebibytes", "MiB, whole run", "number"),
    )
    title = "Disk, before compression" + (f": {steps:,} steps" if steps else "")
    return Table("disk", title, columns, tuple(rows)), whole


def room_on_disk(folder: Path, wanted: float | None) -> list[Finding]:
    """Return a finding where the disk that holds ``folder`` has less room than is wanted."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if wanted is None or wanted <= free:
        return []
    return [
        Finding(
            LIMITS,
            str(folder),
            f"{free / 2**30:.3g} GiB free, up to {wanted / 2**30:.3g} GiB wanted",
            "choose another disk, store states less often, or record with level='decisions'",
        )
    ]


def _width(table: dict[str, str]) -> int:
    return sum(_BYTES[kind] for kind in table.values())
