"""The runs of a folder: what each is, from the two documents of every run alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gradledger.errors import QueryError
from gradledger.query.answer import Answer, Column, Table
from gradledger.query.documents import read_begin, read_end
from gradledger.schema import RunBegin, RunEnd

_COLUMNS: Final = (
    Column("run", "run"),
    Column("state", "state"),
    Column("created", "created [UTC]"),
    Column("steps", "steps", "integer"),
    Column("visits", "visits", "integer"),
    Column("parameters", "parameters", "integer"),
    Column("coverage", "captured [%]", "number"),
    Column("balance", "balance"),
    Column("policy", "policy"),
    Column("log", "log"),
    Column("seconds", "wall [s]", "number"),
    Column("level", "level", in_text=False),
    Column("run_id", "run id", in_text=False),
    Column("directory", "directory", in_text=False),
)


def runs(places: Mapping[str, Path]) -> Answer:
    """Return one row per run, the newest first; a damaged one says so in its own row.

    Args:
        places: Name -> directory of a run.
    """
    rows = [_row(name, place) for name, place in places.items()]
    rows.sort(key=lambda row: (str(row[2] or ""), str(row[0])), reverse=True)
    states = [str(row[1]) for row in rows]
    return Answer(
        question="runs",
        title=f"{len(rows)} runs",
        kind="accounting",
        facts={
            "runs": len(rows),
            "closed": states.count("closed"),
            "open or cut off": states.count("open or cut off"),
            "damaged": sum(state.startswith("damaged") for state in states),
        },
        tables=(Table("runs", "Runs, the newest first", _COLUMNS, tuple(rows)),),
        notes=("counts and balance are those of the end record: a run has none until it closes",),
    )


def _row(name: str, place: Path) -> tuple[Any, ...]:
    try:
        begin, end = read_begin(place), read_end(place)
    except QueryError as error:
        blank = (None,) * (len(_COLUMNS) - 3)
        return (name, f"damaged: {error.observed}", *blank, str(place))
    totals = end.totals if end else {}
    return (
        name,
        "closed" if end else "open or cut off",
        begin.created_at[:16].replace("T", " "),
        end.num_steps if end else None,
        end.num_visits if end else None,
        sum(group.num_parameters for group in begin.groups if group.role == "parameters"),
        begin.coverage.percent,
        _balance(end),
        _policy(begin),
        ("signed" if begin.log.get("key") else "unsigned") if begin.log else "none",
        totals.get("wall_seconds"),
        begin.level,
        begin.run_id,
        str(place),
    )


def _balance(end: RunEnd | None) -> str | None:
    counts = (end.balance.get("verdicts") if end else None) or {}
    wrong = {word: counts.get(word, 0) for word in ("unbalanced", "not finite")}
    if not counts:
        return None
    return ", ".join(f"{count} {word}" for word, count in wrong.items() if count) or "balanced"


def _policy(begin: RunBegin) -> str:
    policy = begin.policy
    return f"{policy['id']}@{policy['version']}" if policy.get("id") else "none"
