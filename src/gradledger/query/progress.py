"""How far a run is: sealed steps in buckets of time, and what waits in its write-ahead log.

The other questions read what is sealed. A run that trains seals about once a minute, so this one
also reads the heads of the write-ahead log, where every booked step stands at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.records import Records
from gradledger.query.timeline import at_least_one
from gradledger.segment import read_append_heads

_COLUMNS: Final = (
    Column("last_step", "to step", "integer"),
    Column("first_step", "from step", "integer", in_text=False),
    Column("loss", "loss, mean [nats]", "number"),
    Column("residual", "residual, largest", "number"),
    Column("visits", "visits", "integer"),
    Column("examples_per_second", "examples/s", "number"),
    Column("record_percent", "recording [%]", "number"),
    Column("unbalanced", "unbalanced steps", "integer"),
    Column("sealed", "sealed", "flag"),
)

#: Verdicts of a step that are no fault of the books.
_SOUND: Final = ("balanced", "not testable at this precision", "unchanged", "skipped", None, "")


def progress(records: Records, buckets: int = 240) -> Answer:
    """Return the course of training so far, in at most so many buckets of steps.

    Args:
        records: The run; open or closed.
        buckets: Rows at most.

    Raises:
        QueryError: Q110 buckets below one.
    """
    at_least_one(buckets=buckets)
    waiting = _waiting(records)
    last_sealed = records.span[1] if records.span else 0
    last = max([last_sealed, *(row["step"] for row in waiting)])
    width = max(1, -(-last // buckets))
    pieces = _sealed(records, width)
    for row in waiting:
        _add(pieces.setdefault((row["step"] - 1) // width, _blank(sealed=False)), row)
    rows = [_figures(number, width, last, piece) for number, piece in sorted(pieces.items())]
    return Answer(
        question="progress",
        title="Progress: loss, balance and pace",
        kind="accounting",
        facts=_facts(records, rows, last_sealed, last),
        tables=(Table("progress", f"{len(rows)} pieces of {width} steps", _COLUMNS, tuple(rows)),),
        notes=(
            "residual: what no line explains, over the sum of the norms of all lines",
            "steps that are not sealed are read from the write-ahead log",
        ),
        findings=sum(row[7] for row in rows),
    )


def _facts(
    records: Records, rows: Sequence[tuple[Any, ...]], sealed: int, last: int
) -> dict[str, Any]:
    losses = [row[2] for row in rows if row[2] is not None]
    verdicts = dict(
        records.ask(
            "SELECT coalesce(d.verdict, 'no decision'), count(*) FROM examples e "
            "LEFT JOIN decisions d USING (decision) GROUP BY 1 ORDER BY 1"
        )
    )
    admitted = verdicts.pop("admit", 0)
    return {
        "state": "closed" if records.end else "open or cut off",
        "steps booked": last,
        "of these sealed": sealed,
        "visits": sum(row[4] for row in rows),
        "last loss [nats]": losses[-1] if losses else None,
        "examples admitted": admitted,
        "examples refused": verdicts or 0,
        "largest residual": max((row[3] for row in rows if row[3] is not None), default=None),
        "unbalanced steps": sum(row[7] for row in rows),
        "examples per second": rows[-1][5] if rows else None,
    }


def _blank(*, sealed: bool) -> dict[str, Any]:
    return {
        "steps": 0,
        "visits": 0,
        "loss": 0.0,
        "losses": 0,
        "residual": None,
        "wall": 0.0,
        "record": 0.0,
        "bad": 0,
        "sealed": sealed,
    }


def _sealed(records: Records, width: int) -> dict[int, dict[str, Any]]:
    bad = ", ".join(f"'{word}'" for word in _SOUND if word)
    rows = records.ask(
        f"""
        SELECT (s.step - 1) // {width}, count(*), sum(s.visits),
               sum(s.loss) FILTER (isfinite(s.loss)), count(*) FILTER (isfinite(s.loss)),
               max(b.residual), sum(s.wall_seconds), sum(s.record_seconds),
               count(*) FILTER (coalesce(s.verdict, '') NOT IN ('', {bad}))
        FROM steps s LEFT JOIN (
            SELECT step, max(residual_ratio) FILTER (isfinite(residual_ratio)) AS residual
            FROM books GROUP BY step
        ) b USING (step) GROUP BY 1 ORDER BY 1
        """
    )
    names = ("steps", "visits", "loss", "losses", "residual", "wall", "record", "bad")
    return {int(row[0]): {**dict(zip(names, row[1:], strict=True)), "sealed": True} for row in rows}


def _waiting(records: Records) -> list[Mapping[str, Any]]:
    """Return the rows of steps that are committed and not sealed, by step."""
    if records.end is not None:
        return []
    sealed = records.span[1] if records.span else 0
    rows: dict[int, Mapping[str, Any]] = {}
    for path in sorted((records.path / "wal").glob("session-*.log")):
        for head in read_append_heads(path):
            if head["kind"] == "commit" and int(head["step"]) > sealed:
                rows[int(head["step"])] = head["row"]
    return [rows[step] for step in sorted(rows)]


def _add(piece: dict[str, Any], row: Mapping[str, Any]) -> None:
    loss = row.get("loss")
    piece["steps"] += 1
    piece["visits"] += int(row.get("visits") or 0)
    if loss is not None and math.isfinite(loss):
        piece["loss"] = (piece["loss"] or 0.0) + loss
        piece["losses"] += 1
    piece["wall"] = (piece["wall"] or 0.0) + float(row.get("wall_seconds") or 0.0)
    piece["record"] = (piece["record"] or 0.0) + float(row.get("record_seconds") or 0.0)
    piece["bad"] += row.get("verdict") not in _SOUND


def _figures(number: int, width: int, last: int, piece: Mapping[str, Any]) -> tuple[Any, ...]:
    wall = piece["wall"] or 0.0
    return (
        min((number + 1) * width, last),
        number * width + 1,
        piece["loss"] / piece["losses"] if piece["losses"] else None,
        piece["residual"],
        int(piece["visits"] or 0),
        piece["visits"] / wall if wall else None,
        100.0 * (piece["record"] or 0.0) / wall if wall else None,
        int(piece["bad"]),
        bool(piece["sealed"]),
    )
