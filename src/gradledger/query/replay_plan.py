"""What executing an intervention would take, told before anything is executed."""

from __future__ import annotations

from typing import Any

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.choice import cost_of_executing
from gradledger.query.intervention import Resolved
from gradledger.query.names import match_steps
from gradledger.query.records import Records
from gradledger.schema import Change, parts_of

_PACE = "time: other machines, and machines with other work, have another pace"


def replay_plan(records: Records, resolved: Resolved) -> Answer:
    """Return which visits an intervention is about, where its replay begins, and what it takes.

    Args:
        records: The run.
        resolved: What is done, to which examples.

    Returns:
        Table ``parts``: one row per change. Facts: first affected step, state that the replay
        begins with, steps to execute, and their recorded wall time.

    Raises:
        QueryError: Q111 no steps.
    """
    span = match_steps(records, None, None)
    rows = [_part(records, part) for part in parts_of(resolved.intervention)]
    firsts = [row[-2] for row in rows if row[-2] is not None]
    first = min(firsts, default=None)
    cost = cost_of_executing(records, resolved.intervention)
    begun = span.stop - cost.num_steps
    columns = (
        Column("operation", "what is done"),
        Column("examples", "examples", "integer"),
        Column("visits", "visits", "integer"),
        Column("first_step", "first visit in step", "integer"),
        Column("steps", "holds in"),
    )
    return Answer(
        question="whatif plan",
        title=f"Plan: {resolved.title}",
        kind="accounting",
        facts={
            "first affected visit": f"step {first}" if first else "none: nothing would change",
            "begins with": f"the state after step {begun}" if begun else "the opening state",
            "steps to execute": cost.num_steps,
            "time": f"about {cost.seconds:.0f} s, {cost.basis}" if cost.seconds else None,
        },
        tables=(Table("parts", "What would be done", columns, tuple(rows)),),
        notes=(_PACE, *resolved.notes),
    )


def _part(records: Records, part: Change) -> tuple[Any, ...]:
    first, last = part.steps or (0, 2**31 - 1)
    visits, start = records.ask(
        "SELECT count(*), min(step) FROM visits WHERE step BETWEEN ? AND ? "
        "AND example IN (SELECT unnest(?::INTEGER[]))",
        [first, last, list(part.examples)],
    )[0]
    held = "the whole run" if part.steps is None else f"steps {first} to {last}"
    return (part.operation, len(part.examples), int(visits), start, held)
