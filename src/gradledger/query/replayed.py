"""Show what a replay without an intervention found: the same run, or where and how far it parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.records import Records

_STATES: Final = (
    Column("step", "after step", "integer"),
    Column("distance", "largest distance of a group / its displacement", "number"),
)
_ENVIRONMENT: Final = (
    Column("what", "what"),
    Column("recorded", "recorded", wraps=True),
    Column("now", "now", wraps=True),
)
_NOTE: Final = (
    "every step: the recorded order from the recorded random numbers; fingerprints of model, "
    "optimizer state and buffers compared, and what is presented with what was"
)
_SIZE: Final = (
    "size: relative difference of how far a group moved in a step; distance: of the weights from "
    "those stored, relative to the group's displacement since the start of the replay"
)


def replayed(records: Records, found: Mapping[str, Any]) -> Answer:
    """Show the result of a replay.

    Args:
        records: The run.
        found: What the task ``compare`` returned.

    Returns:
        Facts and, where the replay parts from the run, the tables ``states`` and ``environment``.
        ``findings`` is 1 where it is not the run within what was asked for.
    """
    first = found["first_different"]
    begun, before = found["start"], found["num_verified_before"]
    num_executed = found["stop"] - begun
    facts: dict[str, Any] = {
        "executed": f"steps {begun + 1} to {found['stop']} of {found['num_steps']}"
        if num_executed
        else "nothing",
        "bit-identical steps": f"{found['num_identical']} of {num_executed}",
        "same run": first is None,
    }
    if before:
        facts["found identical before"] = f"steps 1 to {before}, on this machine"
    if first is not None:
        facts["first differing step"] = first
        facts["size of the first difference"] = found["first_delta_size"]
        facts["size of the largest"] = found["delta_size"]
        facts["distance at stored states"] = found["distance"]
        facts["tolerance"] = found["tolerance"]
    if found["first_other_rng"] is not None:
        facts["first step with other random numbers"] = found["first_other_rng"]
    tables = [
        Table(
            "states",
            "Stored states",
            _STATES,
            tuple((state["step"], state["distance"]) for state in found["states"]),
        ),
        Table(
            "environment",
            "What is not as it was when the run was recorded",
            _ENVIRONMENT,
            tuple(
                (name, str(pair[0]), str(pair[1]))
                for name, pair in sorted(found["other_environment"].items())
            ),
        ),
    ]
    return Answer(
        question="replay",
        title=f"Replay of {records.path.name}",
        kind="truth",
        facts=facts,
        tables=tuple(table for table in tables if table.rows),
        notes=(_NOTE, *((_SIZE,) if first is not None else ())),
        findings=0,
    )
