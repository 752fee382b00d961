"""Chapter: what shaped the model. By licence, source, class, rule, profile, depth and time."""

from __future__ import annotations

from gradledger.query.lines import in_order, line_words
from gradledger.query.measures import VISIT_LINES
from gradledger.query.selection import key_of
from gradledger.report.admission import heat
from gradledger.report.breakdown import breakdown, timeline
from gradledger.report.evidence import Chart, Field, Grid, Section, Value
from gradledger.report.reading import WHOLE, Reading

_WORDS = {
    "displacement": (
        "Shares are of displacement, on accrual basis: the entries of the visits along the change "
        "of the parameters from before the first step to after the last, over the squared length "
        "of that change. A settling pass computed them."
    ),
    "energy": (
        "Shares are of energy, on cash basis: the direct part of each visit along the change of "
        "its own step, added up over steps. Displacement was not settled for this run, so history "
        "(momentum of earlier visits) has no owner here and can be most of the change."
    ),
    "visits": (
        "The run was recorded without per-example measures: visits are counted, what came of them "
        "cannot be told."
    ),
}


def shaping(reading: Reading) -> Section:
    """Return the chapter: splits that each add up to all visits, with pictures."""
    words = [_WORDS[reading.measure]]
    if reading.is_weighed:
        words.append(
            "A share may be negative, where an example was outvoted. Shares of one block, with the "
            "lines that belong to no visit, add up to all of its change."
        )
    grids = _grids(reading)
    by_class = grids["by_class"]
    first = next(iter(grids.values()))
    columns = tuple(field.name for field in by_class.fields if field.name.startswith("block_"))
    over_time = timeline(
        reading, "over_time", "By class over steps", key_of(reading.records, "class")
    )
    charts = [_over_time(reading, over_time)]
    beside = list(grids.values())
    if reading.is_weighed:
        charts = [_bars(first, columns), heat(by_class, columns, "Class"), *charts]
        beside.append(_lines(reading))
    return Section("shape", "What shaped the model", tuple(words), (), tuple(charts), tuple(beside))


def _grids(reading: Reading) -> dict[str, Grid]:
    records = reading.records
    found = {}
    for name, column, title in (
        ("by_license", reading.license_column, "By licence"),
        ("by_source", reading.source_column, "By source"),
    ):
        if column is not None:
            key = key_of(records, f"metadata.{column}")
            note = f"Metadata column {column!r}, as given at admission."
            found[name] = breakdown(reading, name, title, key, note=note)
    for name, title, note in (
        ("class", "By class", "The governance label that the policy gave."),
        ("rule", "By rule", "Rules on which one decision rests share its credit equally."),
        ("profile", "By depth profile", ""),
    ):
        key = key_of(records, name)
        found[f"by_{name}"] = breakdown(reading, f"by_{name}", title, key, note=note)
    return found


def _bars(grid: Grid, columns: tuple[str, ...]) -> Chart:
    what = grid.title.removeprefix("By ")
    return Chart(
        "bars",
        f"What shaped each block, by {what}",
        "Stacked bars, one per block from input to output: shares of the block's change by "
        f"{what}; parts left of zero moved against the change.",
        grid,
        columns,
        is_grid_beside=True,
    )


def _over_time(reading: Reading, grid: Grid) -> Chart:
    unit = "share of the whole change" if reading.is_weighed else "visits"
    return Chart(
        "timeline",
        f"Contribution by class over steps, {unit}",
        f"Stacked columns, one per piece of steps: {unit} by class; parts below zero moved against "
        "the change.",
        grid,
        tuple(field.name for field in grid.fields[1:]),
    )


def _lines(reading: Reading) -> Grid:
    """Return every line as share of the change, per block and in all: columns add up to 1."""
    names: dict[str, None] = {}
    for whole in reading.wholes.values():
        names |= dict.fromkeys(whole.lines)
    rows: list[tuple[Value, ...]] = []
    for line in in_order(names):
        values = [whole.lines.get(line, 0.0) for whole in reading.wholes.values()]
        label = "all visits" if line in VISIT_LINES else line_words(line)
        rows.append((label, *reading.shares(values)))
    sums = [sum(whole.lines.values()) for whole in reading.wholes.values()]
    basis = reading.share_basis("sum of each line's inner product with the change, per block")
    fields = (
        Field("line", "line of the books"),
        Field("share", WHOLE, "share", basis, adds=True),
        *(
            Field(f"block_{place}", block, "share", basis, adds=True)
            for place, block in enumerate(reading.units)
        ),
    )
    return Grid(
        "lines",
        "Everything that moved the parameters, visits and all else",
        fields,
        tuple(rows),
        total=("all of the change", *reading.shares(sums)),
    )
