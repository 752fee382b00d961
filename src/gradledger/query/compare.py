"""Compare two runs: what was set otherwise, how both went, what shaped each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from gradledger.query.answer import Answer, Column, Table
from gradledger.query.capability import capabilities
from gradledger.query.measures import choose
from gradledger.query.names import match_groups, match_steps
from gradledger.query.progress import progress
from gradledger.query.ranking import rank
from gradledger.query.records import Records
from gradledger.query.selection import key_of
from gradledger.query.text import fact

#: Classes compared, and buckets of the losses.
_CLASSES: Final = 40
_BUCKETS: Final = 120

#: Parts of the begin record that are not compared: other in every run, or compared elsewhere.
_OWN: Final = frozenset({"run_id", "created_at", "groups", "log", "notes"})


def compare(first: Records, second: Records, names: tuple[str, str]) -> Answer:
    """Return both runs side by side.

    Args:
        first: One run.
        second: The other.
        names: What they are called in titles.

    Returns:
        Tables ``settings`` (what differs), ``capabilities``, ``classes`` and ``losses``.

    Raises:
        QueryError: Q111 a run without steps.
    """
    pair = (first, second)
    same = first.begin.run_id == second.begin.run_id
    finals = [records.end.final_digest if records.end else None for records in pair]
    return Answer(
        question="compare",
        title=f"Compare: {names[0]} and {names[1]}",
        kind="accounting",
        facts={
            "same run": same,
            "same opening state": _opening(first) == _opening(second) and _opening(first) != "",
            "same final model": finals[0] == finals[1] and finals[0] is not None,
        },
        tables=(_settings(pair), _capabilities(pair), _classes(pair), _losses(pair)),
        notes=(
            "A and B are the first and the second run; a difference is B less A",
            "runs are compared as recorded: that one setting differs does not make it the cause",
        ),
    )


def _opening(records: Records) -> str:
    return str(records.begin.opening_balance.get("state_digest") or "")


def _settings(pair: tuple[Records, Records]) -> Table:
    parts = [_flat(asdict(records.begin)) for records in pair]
    rows = []
    for name in dict.fromkeys([*parts[0], *parts[1]]):
        values = [part.get(name) for part in parts]
        if name.split(".")[0] not in _OWN and values[0] != values[1]:
            rows.append((name, *(fact(value) for value in values)))
    columns = (
        Column("setting", "setting"),
        Column("a", "A", wraps=True),
        Column("b", "B", wraps=True),
    )
    return Table("settings", f"{len(rows)} settings that differ", columns, tuple(rows))


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, part in value.items():
        place = f"{before}{name}"
        if isinstance(part, Mapping) and part:
            found |= _flat(part, f"{place}.")
        else:
            found[place] = part
    return found


def _joined(parts: list[dict[Any, float | None]]) -> tuple[tuple[Any, ...], ...]:
    rows = []
    for name in dict.fromkeys([*parts[0], *parts[1]]):
        a, b = parts[0].get(name), parts[1].get(name)
        rows.append((name, a, b, b - a if a is not None and b is not None else None))
    return tuple(rows)


def _capabilities(pair: tuple[Records, Records]) -> Table:
    moved = [{row["name"]: row["measured"] for row in capabilities(part).rows} for part in pair]
    columns = (
        Column("capability", "capability"),
        Column("a", "change in A [nats]", "share"),
        Column("b", "change in B [nats]", "share"),
        Column("difference", "difference", "share"),
    )
    return Table("capabilities", "How each behaviour moved", columns, _joined(moved))


def _classes(pair: tuple[Records, Records]) -> Table:
    shares: list[dict[Any, float | None]] = []
    measures = []
    for records in pair:
        scope, _ = choose(
            records, match_groups(records, None), match_steps(records, None, None), None
        )
        ranked = rank(scope, key_of(records, "class"), _CLASSES, "size")
        whole = sum(abs(row[1]) for row in ranked.rows)
        measures.append(scope.measure)
        shares.append({row[0]: row[1] / whole if whole else None for row in ranked.rows})
    columns = (
        Column("class", "class"),
        Column("a", f"A, part of {measures[0]}", "share"),
        Column("b", f"B, part of {measures[1]}", "share"),
        Column("difference", "difference", "share"),
    )
    return Table("classes", "Whose visits shaped it: parts of all visits", columns, _joined(shares))


def _losses(pair: tuple[Records, Records]) -> Table:
    found = [
        {row["last_step"]: row["loss"] for row in progress(part, _BUCKETS).rows} for part in pair
    ]
    rows = [
        (step, found[0].get(step), found[1].get(step)) for step in sorted({*found[0], *found[1]})
    ]
    columns = (
        Column("step", "to step", "integer"),
        Column("a", "loss of A [nats]", "number"),
        Column("b", "loss of B [nats]", "number"),
    )
    return Table("losses", "Loss, mean over pieces of time", columns, tuple(rows))
