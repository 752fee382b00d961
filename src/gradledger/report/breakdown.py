"""What shaped the model, split by one key: one row per value, one column per block."""

from __future__ import annotations

import math

from gradledger.query.selection import Key
from gradledger.query.shares import Slice
from gradledger.report.evidence import Field, Grid, Value
from gradledger.report.reading import WHOLE, Reading, counted

#: Where nothing is recorded under a key.
NOT_RECORDED = "(not recorded)"

#: Pieces into which the steps are cut for a timeline, at most.
_PIECES = 40
#: Keys that have a column of their own in a timeline.
_SERIES = 5
OTHERS = "others"


def breakdown(reading: Reading, name: str, title: str, key: Key, *, note: str = "") -> Grid:
    """Return the split of all visits by ``key``; its rows add up to its total.

    Args:
        reading: The run.
        name: Key of the grid.
        title: One line above it.
        key: What makes one row.
        note: A sentence below it.
    """
    query = "sum over visits, grouped by the first column"
    rows = [_row(reading, item) for item in ranked(reading, reading.split(key))]
    has_credit = key.weight != "1.0"
    count = counted("visits", query, "visits", "decisions")
    fields = [Field("key", key.name.removeprefix("metadata."))]
    if reading.is_weighed:
        basis = reading.share_basis(query)
        fields.append(Field("share", WHOLE, "share", basis, adds=True))
        fields += [
            Field(f"block_{place}", block, "share", basis, adds=True)
            for place, block in enumerate(reading.units)
        ]
    fields += [
        Field("visits", "visits", "number" if has_credit else "integer", count, adds=True),
        Field(
            "visits_share",
            "of visits",
            "share",
            counted("1", query, "visits", "decisions"),
            adds=True,
        ),
        Field(
            "examples",
            "examples",
            "integer",
            counted(
                "examples", "distinct examples that visited, grouped by the first column", "visits"
            ),
            adds=not has_credit,
        ),
    ]
    return Grid(name, title, tuple(fields), tuple(rows), total=_total(fields, rows), note=note)


def ranked(reading: Reading, slices: list[Slice]) -> list[Slice]:
    """Return slices by the size of their share, or by visits where shares do not exist."""

    def size(item: Slice) -> tuple[float, float, str]:
        weight = abs(sum(item.values)) if reading.is_weighed else item.visits
        return (-weight, -item.visits, item.key or "")

    return sorted(slices, key=size)


def timeline(reading: Reading, name: str, title: str, key: Key) -> Grid:
    """Return contributions by key over time: rows are pieces of steps, columns the largest keys."""
    first, last = reading.span.start, reading.span.stop
    width = -(-(last - first + 1) // _PIECES)
    slices = reading.split(key, width=width)
    size: dict[str, float] = {}
    cells: dict[tuple[int, str], float] = {}
    for item in slices:
        label = NOT_RECORDED if item.key is None else item.key
        value = sum(item.values) if reading.is_weighed else item.visits
        size[label] = size.get(label, 0.0) + abs(value)
        cells[item.piece, label] = cells.get((item.piece, label), 0.0) + value
    order = sorted(size, key=lambda label: (-size[label], label))
    shown, rest = order[:_SERIES], order[_SERIES:]
    whole = reading.squared if reading.is_weighed else 1.0
    rows: list[tuple[Value, ...]] = []
    for piece in range(-(-(last - first + 1) // width)):
        low = first + piece * width
        high = min(low + width - 1, last)
        values = [cells.get((piece, label), 0.0) for label in shown]
        if rest:
            values.append(math.fsum(cells.get((piece, label), 0.0) for label in rest))
        parts: list[Value] = [value / whole if whole else None for value in values]
        rows.append((str(low) if low == high else f"{low} to {high}", *parts))
    query = f"sum over visits, grouped by {key.name} and piece of {width} steps"
    if reading.is_weighed:
        kind, basis = "share", reading.share_basis(query)
    else:
        kind, basis = "integer", counted("visits", query, "visits", "decisions")
    fields = [
        Field("steps", "steps"),
        *(
            Field(f"key_{place}", label, kind, basis, adds=True)
            for place, label in enumerate(shown)
        ),
    ]
    if rest:
        fields.append(Field(OTHERS, f"{len(rest)} others", kind, basis, adds=True))
    return Grid(name, title, tuple(fields), tuple(rows), total=_total(fields, rows), shown=_PIECES)


def _row(reading: Reading, item: Slice) -> tuple[Value, ...]:
    visits = reading.volume.visits
    return (
        NOT_RECORDED if item.key is None else item.key,
        *(reading.shares(item.values) if reading.is_weighed else ()),
        item.visits if item.visits % 1 else int(item.visits),
        item.visits / visits if visits else None,
        item.examples,
    )


def _total(fields: list[Field], rows: list[tuple[Value, ...]]) -> tuple[Value, ...]:
    """Add up the columns that add up."""
    cells: list[Value] = []
    for place, field in enumerate(fields):
        values = [row[place] for row in rows]
        if not place:
            cells.append("all visits")
        elif not field.adds or not all(isinstance(value, int | float) for value in values):
            cells.append(None)
        else:
            total = math.fsum(float(value) for value in values if not isinstance(value, str | None))
            cells.append(round(total) if field.kind == "integer" else total)
    return tuple(cells)
