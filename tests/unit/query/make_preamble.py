"""Documents and decisions of the synthetic run: what stands before its first step."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gradledger.schema import FORMAT, Coverage, GroupRecord, RunBegin, RunEnd, TensorRecord

BLOCKS = ("embed", "blocks.0", "blocks.1", "head")
GROUPS = (
    ("embed", 0),
    ("blocks.0.attn", 1),
    ("blocks.0.mlp", 1),
    ("blocks.1.attn", 2),
    ("blocks.1.mlp", 2),
    ("head", 3),
)
PROFILES = {"full": [1.0, 1.0, 1.0, 1.0], "shallow": [0.0, 0.0, 1.0, 1.0]}
NUM_STEPS, NUM_VISITS, SIZE = 20, 4, 5
UNCAPTURED, BUFFERS = 6, 7
DIGEST = "ab" * 32

#: What the begin record says of the probes.
PROBES = [
    {"name": name, "description": words, "inputs_digest": "ef" * 32, "every": 10, "also_at": [],
     "mode": "evaluation", "unit": "nats"}
    for name, words in (("code", "source code <b>held out</b>"), ("prose", ""))
]  # fmt: skip

#: decision -> verdict, class, profile, reason, rules (rule, effect, truth, determining).
DECISIONS = (
    ("admit", "open", "full", "permissive license",
     (("permissive", "admit", "true", True), ("gpl", "deny", "false", False))),
    ("admit", "copyleft", "shallow", "two rules admit this",
     (("weak-copyleft", "admit", "true", True), ("reviewed", "admit", "true", True))),
    ("deny", "copyleft", "full", "gpl is denied",
     (("permissive", "admit", "false", False), ("gpl", "deny", "true", True))),
    ("quarantine", "unknown", "full", "license is not known",
     (("permissive", "admit", "unknown", False), ("gpl", "deny", "unknown", True))),
)  # fmt: skip

#: source, license, decision of each example.
EXAMPLES = (
    ("pkg:a", "MIT", 0), ("pkg:a", "MIT", 0), ("pkg:a", "MIT", 0), ("pkg:b", "BSD-3-Clause", 0),
    ("pkg:b", "BSD-3-Clause", 0), ("pkg:c", "LGPL-2.1-only", 1), ("pkg:c", "LGPL-2.1-only", 1),
    ("pkg:c", None, 1), ("pkg:d", "MIT", 0), ("pkg:d", "MIT", 0),
    ("pkg:e", "GPL-3.0-only", 2), ("pkg:f", None, 3),
)  # fmt: skip


def write(folder: Path, columns: dict[str, Any], parts: int = 2) -> None:
    """Write columns as ``parts`` Parquet files."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    size = -(-table.num_rows // parts) or 1
    for number in range(parts):
        part = table.slice(number * size, size)
        if part.num_rows or not number:
            pq.write_table(part, folder / f"part-{number:06d}.parquet")


def write_decisions(path: Path, metadata: dict[str, list[Any]]) -> None:
    folder, count = path / "decisions", len(EXAMPLES)
    write(
        folder / "examples",
        {
            "example": pa.array(range(count), pa.int32()),
            "example_id": [f"{number:016x}" for number in range(1000, 1000 + count)],
            "decision": pa.array([row[2] for row in EXAMPLES], pa.int32()),
            "content": pa.array([None] * count, pa.string()),
            **metadata,
        },
    )
    write(
        folder / "distinct",
        {
            "decision": pa.array(range(4), pa.int32()),
            "verdict": pa.array([d[0] for d in DECISIONS]).dictionary_encode(),
            "class": [d[1] for d in DECISIONS], "profile": [d[2] for d in DECISIONS],
            "policy_digest": [DIGEST] * 4, "policy_id": ["house"] * 4,
            "policy_version": ["1.0.0"] * 4, "decided_at": ["2026-01-02T03:04:05Z"] * 4,
            "attributes": ['{"license":"MIT"}', '{"license":"LGPL-2.1-only"}', '{}', '{}'],
            "reason": [d[3] for d in DECISIONS],
        },
        parts=1,
    )  # fmt: skip
    truths = [(number, *rule) for number, d in enumerate(DECISIONS) for rule in d[4]]
    names = ("decision", "rule", "effect", "truth", "determining")
    write(folder / "truths", {n: [row[i] for row in truths] for i, n in enumerate(names)}, parts=1)


def write_documents(path: Path, level: str, closed: bool) -> None:
    groups = [
        GroupRecord(n, name, BLOCKS[b], b, "parameters", SIZE,
                    (TensorRecord(f"{name}.weight", (SIZE,), "float32", 0, "linear"),))
        for n, (name, b) in enumerate(GROUPS)
    ]  # fmt: skip
    groups += [
        GroupRecord(UNCAPTURED, "head.scale", "head", 3, "parameters", SIZE,
                    (TensorRecord("head.scale", (SIZE,), "float32", 0, ""),)),
        GroupRecord(BUFFERS, "head (buffers)", "head", 3, "buffers", SIZE,
                    (TensorRecord("head.mean", (SIZE,), "float32", -1, ""),)),
    ]  # fmt: skip
    begin = RunBegin(
        format=FORMAT, run_id="0123456789abcdef" * 2, created_at="2026-01-02T03:04:05+00:00",
        level=level, on_imbalance="flag", groups=tuple(groups), blocks=BLOCKS,
        coverage=Coverage(35, 30, (("head.scale", "used outside its module"),), ("a note",)),
        optimizer={"family": "adam", "class": "AdamW", "lr": 1e-3},
        policy={"id": "house", "version": "1.0.0", "digest": DIGEST},
        opening_balance={"source": "random initialisation", "seed": 0}, seeds={"torch": 0},
        environment={"python": "3.11", "torch": "2.13"},
        settings={"profiles": PROFILES, "probes": PROBES},
        notes="synthetic",
    )  # fmt: skip
    (path / "run.json").write_text(json.dumps(dataclasses.asdict(begin)), encoding="utf-8")
    if closed:
        end = RunEnd(
            closed_at="2026-01-02T04:04:05+00:00", num_steps=NUM_STEPS,
            num_visits=NUM_STEPS * NUM_VISITS, final_digest="cd" * 32,
            balance={"largest_residual": {"value": 7.2e-8, "step": 20, "group": 6}},
            totals={"wall_seconds": 1.0},
        )  # fmt: skip
        (path / "end.json").write_text(json.dumps(dataclasses.asdict(end)), encoding="utf-8")
