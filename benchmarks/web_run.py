"""A large run written straight into tables, for figures of reading: no training stands behind it.

Figures are random, but tables, columns, row groups and documents are those of a recorded run that
was settled, with one probe.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gradledger.schema import (
    ACCRUAL_LINES,
    BOOKS,
    FORMAT,
    Coverage,
    GroupRecord,
    RunBegin,
    RunEnd,
    TensorRecord,
)

NUM_BLOCKS, GROUPS_PER_BLOCK = 8, 4
NUM_GROUPS = NUM_BLOCKS * GROUPS_PER_BLOCK
NUM_DECISIONS, NUM_SOURCES = 60, 400
PROBE = "held-out"
_PART_ROWS, _ROW_GROUP = 131_072, 32_768
_LICENSES = ("MIT", "Apache-2.0", "BSD-3-Clause", "MPL-2.0", "NOASSERTION")
_DIGEST = "ab" * 32


def write_run(
    path: Path, *, num_steps: int = 5000, batch: int = 200, num_examples: int = 100_000
) -> None:
    """Write a run of ``num_steps * batch`` visits.

    Args:
        path: Its directory, which must not exist.
        num_steps: Steps.
        batch: Visits of a step.
        num_examples: Admitted examples.
    """
    path.mkdir(parents=True)
    rng = np.random.default_rng(3)
    _documents(path, num_steps, num_steps * batch)
    decisions = rng.integers(0, NUM_DECISIONS, num_examples).astype(np.int32)
    _decisions(path, rng, decisions)
    _books(path, rng, num_steps)
    _steps(path, rng, num_steps, batch)
    _visits(path, rng, num_steps, batch, decisions)
    _settled(path, num_steps)


def _documents(path: Path, num_steps: int, num_visits: int) -> None:
    blocks = tuple(f"layers.{number}" for number in range(NUM_BLOCKS))
    groups = tuple(
        GroupRecord(
            number, f"{blocks[number // GROUPS_PER_BLOCK]}.part{number % GROUPS_PER_BLOCK}",
            blocks[number // GROUPS_PER_BLOCK], number // GROUPS_PER_BLOCK, "parameters", 1024,
            (TensorRecord(f"w{number}", (32, 32), "float32", 0, "linear"),),
        )
        for number in range(NUM_GROUPS)
    )  # fmt: skip
    begin = RunBegin(
        format=FORMAT, run_id=f"{abs(hash(path.name)):032x}"[:32],
        created_at="2026-01-02T03:04:05+00:00", level="shares", on_imbalance="flag",
        groups=groups, blocks=blocks, coverage=Coverage(32_768, 32_768, (), ()),
        optimizer={"family": "adam", "class": "AdamW"},
        policy={"id": "house", "version": "1.0.0", "digest": _DIGEST},
        opening_balance={"source": "random initialisation"}, seeds={}, environment={},
        settings={
            "profiles": {"full": [1.0] * NUM_BLOCKS},
            "probes": [{"name": PROBE, "description": "", "inputs_digest": _DIGEST, "every": 500,
                        "also_at": [], "mode": "evaluation", "unit": "nats"}],
        },
    )  # fmt: skip
    end = RunEnd(
        "2026-01-03T03:04:05+00:00", num_steps, num_visits, "cd" * 32,
        {"verdicts": {"balanced": num_steps * NUM_GROUPS}}, {"wall_seconds": 3600.0},
    )  # fmt: skip
    for name, record in (("run", begin), ("end", end)):
        (path / f"{name}.json").write_text(json.dumps(dataclasses.asdict(record)))


def _write(folder: Path, columns: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    for number in range(max(1, -(-table.num_rows // _PART_ROWS))):
        part = table.slice(number * _PART_ROWS, _PART_ROWS)
        pq.write_table(
            part, folder / f"part-{number:06d}.parquet", compression="zstd",
            row_group_size=_ROW_GROUP, use_dictionary=[
                field.name for field in table.schema
                if pa.types.is_string(field.type) or field.name == "step"
            ],
        )  # fmt: skip


def _decisions(path: Path, rng: np.random.Generator, decisions: np.ndarray[Any, Any]) -> None:
    count = len(decisions)
    # Data sets are joined from sources one after the other.
    sources = np.sort(rng.integers(0, NUM_SOURCES, count))
    numbers = range(NUM_DECISIONS)
    _write(path / "decisions/examples", {
        "example": pa.array(np.arange(count, dtype=np.int32)),
        "example_id": [f"{number:032x}" for number in range(count)],
        "decision": decisions, "content": pa.array([None] * count, pa.string()),
        "source": [f"source-{number}" for number in sources],
        "license": [_LICENSES[number % len(_LICENSES)] for number in sources],
        "path": [f"files/{number // 100}/{number}.txt" for number in range(count)],
    })  # fmt: skip
    _write(path / "decisions/distinct", {
        "decision": pa.array(np.arange(NUM_DECISIONS, dtype=np.int32)),
        "verdict": ["admit"] * NUM_DECISIONS, "class": [f"class-{n % 6}" for n in numbers],
        "profile": ["full"] * NUM_DECISIONS, "policy_digest": [_DIGEST] * NUM_DECISIONS,
        "policy_id": ["house"] * NUM_DECISIONS, "policy_version": ["1.0.0"] * NUM_DECISIONS,
        "decided_at": ["2026-01-02T03:04:05Z"] * NUM_DECISIONS,
        "attributes": ["{}"] * NUM_DECISIONS, "reason": ["stated"] * NUM_DECISIONS,
    })  # fmt: skip
    _write(path / "decisions/truths", {
        "decision": pa.array(np.arange(NUM_DECISIONS, dtype=np.int32)),
        "rule": [f"rule-{n % 5}" for n in numbers], "effect": ["admit"] * NUM_DECISIONS,
        "truth": ["true"] * NUM_DECISIONS, "determining": [True] * NUM_DECISIONS,
    })  # fmt: skip


def _books(path: Path, rng: np.random.Generator, num_steps: int) -> None:
    rows = num_steps * NUM_GROUPS
    columns: dict[str, Any] = {}
    for name, kind in BOOKS.items():
        if kind == "float64":
            columns[name] = rng.random(rows) * 1e-3
        elif kind == "bool":
            columns[name] = np.zeros(rows, bool)
    columns |= {
        "step": np.repeat(np.arange(1, num_steps + 1, dtype=np.int32), NUM_GROUPS),
        "group": np.tile(np.arange(NUM_GROUPS, dtype=np.int32), num_steps),
        "cash_factor": np.repeat(0.1 + 1e-5 * np.arange(num_steps), NUM_GROUPS),
        "verdict": ["balanced"] * rows,
    }
    _write(path / "books", {name: columns[name] for name in BOOKS})


def _steps(path: Path, rng: np.random.Generator, num_steps: int, batch: int) -> None:
    marks = [f"{number:016x}" for number in range(num_steps)]
    _write(path / "steps", {
        "step": np.arange(1, num_steps + 1, dtype=np.int32),
        "micro_batches": np.ones(num_steps, np.int16),
        "visits": np.full(num_steps, batch, np.int32),
        "loss": 7.0 - np.log1p(np.arange(num_steps)) / 2 + 0.1 * rng.random(num_steps),
        "wall_seconds": np.full(num_steps, 0.7), "record_seconds": np.full(num_steps, 0.05),
        "fingerprint_before": marks, "fingerprint_after": marks, "rng_fingerprint": marks,
        "skipped": np.zeros(num_steps, bool), "coupled": np.zeros(num_steps, bool),
        "verdict": ["balanced"] * num_steps,
    })  # fmt: skip


def _visits(
    path: Path,
    rng: np.random.Generator,
    num_steps: int,
    batch: int,
    decisions: np.ndarray[Any, Any],
) -> None:
    rows = num_steps * batch
    example = rng.integers(0, len(decisions), rows).astype(np.int32)
    placed = {
        "step": np.repeat(np.arange(1, num_steps + 1, dtype=np.int32), batch),
        "micro_batch": np.zeros(rows, np.int16),
        "position": np.tile(np.arange(batch, dtype=np.int16), num_steps),
        "example": example,
        "decision": decisions[example],
    }

    def drawn(prefix: str, scale: float, low: float = -1.0) -> dict[str, Any]:
        return {
            f"{prefix}_{group}": (scale * rng.uniform(low, 1.0, rows)).astype(np.float32)
            for group in range(NUM_GROUPS)
        }

    digests = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(32), rows, [None, pa.py_buffer(rng.bytes(32 * rows))]
    )
    loss = rng.random(rows).astype(np.float32)
    used = {"loss": loss, "tokens": np.full(rows, 128, np.int32), "digest": digests}
    _write(path / "visits", {**placed, **used, **drawn("align", 1e-6), **drawn("gnorm", 1.0, 0.0)})
    whole = {"interval": 0, "start_step": 0, "stop_step": num_steps}
    interval = {name: np.full(rows, value, np.int32) for name, value in whole.items()}
    _write(path / "displacement/visits", {**interval, **placed, **drawn("share", 1e-6)})
    probe = {"probe": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [PROBE])}
    _write(path / "probes/visits", {**probe, **interval, **placed, **drawn("nats", 1e-6)})


def _settled(path: Path, num_steps: int) -> None:
    lines = [(group, line) for group in range(NUM_GROUPS) for line in ACCRUAL_LINES]
    count = len(lines)
    interval = {
        "interval": pa.array([0] * count, pa.int32()),
        "start_step": pa.array([0] * count, pa.int32()),
        "stop_step": pa.array([num_steps] * count, pa.int32()),
        "group": pa.array([group for group, _ in lines], pa.int32()),
        "line": [line for _, line in lines],
    }
    _write(path / "displacement/lines", {
        **interval, "dot": [0.1] * count, "displacement_sq": [1.0] * count,
    })  # fmt: skip
    _write(path / "probes/lines", {
        "probe": [PROBE] * count, **interval, "nats": [-1e-3] * count,
    })  # fmt: skip
    _write(path / "probes/intervals", {
        "probe": [PROBE], "interval": pa.array([0], pa.int32()),
        "start_step": pa.array([0], pa.int32()), "stop_step": pa.array([num_steps], pa.int32()),
        "before": [7.0], "after": [5.0], "measured": [-2.0], "linear": [-2.0],
        "explained": [-2.0], "residual": [0.0],
    })  # fmt: skip
    _write(path / "probes/values", {
        "probe": [PROBE] * 2, "step": pa.array([0, num_steps], pa.int32()), "value": [7.0, 5.0],
    })  # fmt: skip
