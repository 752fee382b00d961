"""Chapter: do the books balance, step by step."""

from __future__ import annotations

from gradledger.query.authority import balance_by_step
from gradledger.query.balance import balance_table, verdict_counts
from gradledger.report.evidence import Basis, Chart, Field, Figure, Grid, Section, Value, Verdict
from gradledger.report.reading import Reading, counted

#: Points of the picture of the balance, at most.
_PIECES = 120

_RATIO = (
    "largest ratio over groups; residual: over the sum of the norms of all lines; gap: over the "
    "sum of the visits' norms"
)


def bookkeeping(reading: Reading) -> tuple[Section, Verdict, dict[str, Figure]]:
    """Return the chapter, its verdict at the head, and its figures for the gate."""
    counts = verdict_counts(reading.records, reading.matched, reading.span)
    basis = {
        name: counted("books", f"books (step and group) with verdict {name!r}", "books")
        for name in counts
    }
    figures = [
        Figure(name.replace(" ", "_"), name, count, basis[name], "integer")
        for name, count in counts.items()
    ]
    places = balance_table(reading.records, reading.matched, reading.span)
    residual = next((row[1] for row in places.rows if row[0] == "residual"), None)
    gauges = {
        "unbalanced": Figure(
            "unbalanced", "books that do not balance", counts["unbalanced"],
            basis["unbalanced"], "integer"),
        "not-finite": Figure(
            "not-finite", "books that are not finite", counts["not finite"],
            basis["not finite"], "integer"),
        "untested": Figure(
            "untested", "books not testable at their precision",
            counts["not testable at this precision"],
            basis["not testable at this precision"], "integer"),
        "residual": Figure(
            "residual", "largest unexplained part", residual,
            Basis("1", _RATIO, "to rounding", ("books",), "largest residual_ratio")),
    }  # fmt: skip
    section = Section(
        "books",
        "Balance of the books",
        (
            (
                "For each step and parameter group the lines (visits, history, decay, rounding "
                "and so on) must add up to the change that is found in the parameters. The "
                "residual is what no line explains, the gap what capture missed."
            ),
        ),
        tuple(figures),
        (_plot(reading),),
        (_places(places.rows),),
    )
    return section, _verdict(counts), gauges


def _verdict(counts: dict[str, int]) -> Verdict:
    question = "The books balance in every step"
    bad = counts["unbalanced"] + counts["not finite"]
    tested = counts["balanced"] + counts["unchanged"]
    untested = counts["not testable at this precision"]
    total = sum(counts.values())
    if bad:
        because = (
            f"Of {total:,} books (step and group), {counts['unbalanced']:,} do not balance and "
            f"{counts['not finite']:,} are not finite."
        )
        return Verdict("books", question, "no", because)
    if not tested:
        because = "No book (step and group) carries a verdict that could be tested."
        return Verdict("books", question, "not known", because)
    rest = f"; {untested:,} cannot be tested at their precision" if untested else ""
    because = f"{tested:,} of {total:,} books (step and group) are balanced{rest}."
    return Verdict("books", question, "yes", because)


def _plot(reading: Reading) -> Chart:
    first, last = reading.span.start, reading.span.stop
    width = -(-(last - first + 1) // _PIECES)
    pieces: dict[int, list[tuple[float | None, float | None, int]]] = {}
    for step, residual, gap, bad in balance_by_step(
        reading.records, reading.matched.numbers, first, last
    ):
        pieces.setdefault((step - first) // width, []).append((residual, gap, bad))
    rows: list[tuple[Value, ...]] = []
    for piece, held in sorted(pieces.items()):
        low = first + piece * width
        high = min(low + width - 1, last)
        rows.append(
            (
                str(low) if low == high else f"{low} to {high}",
                _largest([item[0] for item in held]),
                _largest([item[1] for item in held]),
                sum(item[2] for item in held),
            )
        )
    query = f"largest over groups and pieces of {width} steps"
    ratio = Basis("1", _RATIO, "to rounding", ("books",), query)
    fields = (
        Field("steps", "steps"),
        Field("residual", "residual", "number", ratio),
        Field("gap", "gap", "number", ratio),
        Field("faults", "unbalanced or not finite", "integer", counted("books", query, "books")),
    )
    grid = Grid("balance_by_step", "Largest residual and gap by step", fields, tuple(rows),
                shown=_PIECES)  # fmt: skip
    return Chart(
        "balance",
        "Largest residual and gap over all groups, by step (logarithmic)",
        "Two series of points over steps on a logarithmic scale: the largest residual and the "
        "largest capture gap; steps with a fault are marked by a cross.",
        grid,
        ("residual", "gap", "faults"),
    )


def _largest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _places(rows: tuple[tuple[Value, ...], ...]) -> Grid:
    ratio = Basis("1", "ratio of norms, as described in its row", "to rounding", ("books",),
                  "largest finite value and its place")  # fmt: skip
    fields = (
        Field("name", "largest"),
        Field("ratio", "ratio", "number", ratio),
        Field("step", "step", "integer", counted("step", "place of the largest", "books")),
        Field("group", "parameter group"),
        Field("what", "what it is"),
    )
    return Grid("worst", "Largest ratios and their places", fields, rows)
