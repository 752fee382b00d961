"""Chapter: who owns the change. Dominance of single sources, and examples that were outvoted."""

from __future__ import annotations

import math
from typing import Final

from gradledger.query.selection import key_of
from gradledger.query.shares import Slice
from gradledger.query.signals import example_values
from gradledger.report.evidence import Basis, Field, Figure, Grid, Section, Value, Verdict
from gradledger.report.reading import WHOLE, Reading

#: Part of a block's contributions from which one source dominates it.
DOMINANT: Final = 0.5
_LISTED: Final = 10

_METHOD: Final = (
    "contributions by size: the absolute value of each source's share over the sum of the absolute "
    "values; Herfindahl index: sum of the squares of these parts, 1 for a single source"
)


def dominance(reading: Reading) -> tuple[Section, tuple[Verdict, ...], dict[str, Figure]]:
    """Return the chapter, its verdict and its figures for the gate."""
    title = "Dominance of single sources"
    question = "No single source dominates a block"
    if reading.source_column is None or not reading.is_weighed:
        words = (
            "The run has no metadata column that names sources."
            if reading.source_column is None
            else "The recording level holds no contributions."
        )
        absent = Verdict("dominance", question, "not known", words)
        return Section("dominance", title, (words,)), (absent,), {}
    column = reading.source_column
    slices = reading.split(key_of(reading.records, f"metadata.{column}"))
    tables = reading.share_basis("").places
    basis = Basis("1", f"{_METHOD}; {reading.measure}", "to rounding", tables,
                  f"grouped by metadata column {column!r}, per block")  # fmt: skip
    rows = _rows(reading, slices)
    parts = [row[2] for row in rows if isinstance(row[2], float)]
    indices = [row[4] for row in rows if isinstance(row[4], float)]
    gauges = {
        "dominance": Figure("dominance", "largest part of a block that one source owns",
                            max(parts, default=None), basis, "share"),
        "concentration": Figure("concentration", "largest Herfindahl index of a block",
                                max(indices, default=None), basis),
        **_outvoted(reading),
    }  # fmt: skip
    share = reading.share_basis(f"largest source by size, metadata column {column!r}")
    grid = Grid(
        "dominance",
        f"Largest source of each block, by {column}",
        (
            Field("block", "block"),
            Field("source", "largest source"),
            Field("part", "of contributions by size", "share", basis),
            Field("share", "of the change", "share", share),
            Field("herfindahl", "Herfindahl index", "number", basis),
            Field("effective", "sources it is worth", "number", basis),
        ),
        tuple(rows),
        note="Sources it is worth: 1 over the index, how many equal sources would give it.",
    )
    worst = max(rows, key=lambda row: row[2] if isinstance(row[2], float) else -1.0)
    is_dominated = isinstance(worst[2], float) and worst[2] >= DOMINANT
    because = "There is no contribution."
    if isinstance(worst[2], float):
        because = f"The most is {100 * worst[2]:.1f} % of {worst[0]}, owned by {worst[1]}."
    answer = "not known" if not parts else "no" if is_dominated else "yes"
    section = Section(
        "dominance", title, (), tuple(gauges.values()), (), (grid, _negative(reading))
    )
    return section, (Verdict("dominance", question, answer, because),), gauges


def _rows(reading: Reading, slices: list[Slice]) -> list[tuple[Value, ...]]:
    rows: list[tuple[Value, ...]] = []
    for place, block in enumerate((WHOLE, *reading.units)):
        values = {
            str(item.key): sum(item.values) if not place else item.values[place - 1]
            for item in slices
        }
        total = math.fsum(abs(value) for value in values.values())
        if not total:
            rows.append((block, None, None, None, None, None))
            continue
        name, value = max(values.items(), key=lambda pair: (abs(pair[1]), pair[0]))
        squared = reading.squared if not place else reading.wholes[block].squared
        index = math.fsum((v / total) ** 2 for v in values.values())
        rows.append(
            (
                block,
                name,
                abs(value) / total,
                value / squared if squared else None,
                index,
                1 / index,
            )
        )
    return rows


def _outvoted(reading: Reading) -> dict[str, Figure]:
    values = example_values(reading.scope)
    below = [value for _, value, _ in values if value < 0]
    share = math.fsum(below) / reading.squared if reading.squared else None
    basis = reading.share_basis("examples whose summed contribution is below zero")
    count = Basis("examples", basis.method, "exact", basis.places, basis.query)
    return {
        "negative-share": Figure("negative-share", "share of the change owned against it", share,
                                 basis, "share"),
        "negative-examples": Figure("negative-examples", "examples that were outvoted", len(below),
                                    count, "integer"),
    }  # fmt: skip


def _negative(reading: Reading) -> Grid:
    basis = reading.share_basis("summed contribution of each example, lowest first")
    kept = [item for item in example_values(reading.scope)[:_LISTED] if item[1] < 0]
    rows = tuple(
        (str(example), value / reading.squared if reading.squared else None, visits)
        for example, value, visits in kept
    )
    fields = (
        Field("example", "example"),
        Field("share", "of the change", "share", basis),
        Field("visits", "visits", "integer", basis),
    )
    return Grid("negative", "Examples that moved most against the change", fields, rows,
                note="" if rows else "None.")  # fmt: skip
