"""Over the whole demonstration the books balance, capture is complete and visits own the change.

Caveat: the demonstration of the default size, once in float32 and once in float64; one seed, one
machine. The residual is the larger of both bases, cash and accrual. Shares of displacement are
those of one interval, the whole run; over single steps inventory and revaluation dominate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from benchmarks.figure import Figure
from rich.console import Console

from gradledger.demo.main import demonstrate
from gradledger.schema import ACCRUAL_LINES
from gradledger.segment import read_table

BARS = {"float32": 1e-5, "float64": 1e-12}
#: Sum of all shares but the residual, and how far the visits' share may be from 1.
SUM_BAR, SHARE_BAR = 1e-6, 0.10

Columns = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True)
class Outcome:
    """What one demonstration showed.

    Attributes:
        residual: Largest residual ratio over all steps and groups, on either basis.
        gap: Largest capture gap over all steps and groups.
        coverage: Percent of the updated parameters that have per-example capture.
        sum_error: Largest distance from 1 of the sum of all accrual shares but the residual.
        visits_share: Median over groups of the visits' share of displacement.
        size: Steps and groups, in words.
    """

    residual: float
    gap: float
    coverage: float
    sum_error: float
    visits_share: float
    size: str


def measure(size: str = "small") -> list[Figure]:
    """Run the demonstration in both formats."""
    torch.set_num_threads(2)
    found = {name: run(size, getattr(torch, name)) for name in BARS}
    single, double = found["float32"], found["float64"]
    figures = []
    for name, bar in BARS.items():
        outcome = found[name]
        where = f"size {size}, {outcome.size}, {name}"
        figures += [
            Figure(f"books.residual_{name}", outcome.residual, "ratio", bar=bar, caveat=where),
            Figure(f"books.gap_{name}", outcome.gap, "ratio", bar=bar, caveat=where),
        ]
    coverage = min(single.coverage, double.coverage)
    figures.append(
        Figure("books.coverage_percent", coverage, "percent", "equal", 100.0, caveat=single.size)
    )
    figures.append(
        Figure(
            "books.displacement_sum_error",
            double.sum_error,
            "share",
            bar=SUM_BAR,
            caveat=f"all accrual lines but the residual; worst group of {double.size}, float64",
        )
    )
    return [*figures, *share_figures(single.visits_share, double.visits_share)]


def share_figures(single: float, double: float) -> list[Figure]:
    """Return the visits' median share in both formats, and the larger distance from 1."""
    caveat = "median over groups, whole run; the bar is on books.displacement_visits_share_error"
    key = "books.displacement_visits_share"
    error = largest([abs(share - 1.0) for share in (single, double)])
    return [
        Figure(key, double, "share", "higher", caveat=f"float64, {caveat}"),
        Figure(f"{key}_float32", single, "share", "higher", caveat=f"float32, {caveat}"),
        Figure(
            f"{key}_error",
            error,
            "share",
            bar=SHARE_BAR,
            caveat="|share - 1| in the format where it is larger: share within 0.90 and 1.10",
        ),
    ]


def run(size: str, dtype: torch.dtype) -> Outcome:
    """Record, settle and summarise one demonstration in a temporary folder."""
    with TemporaryDirectory() as folder:
        done = demonstrate(size, Path(folder) / "run", None, dtype, Console(quiet=True))
        books = read_table(done.run_dir, "books").to_pydict()
    summary = done.summary
    return Outcome(
        residual=max(largest(books["residual_ratio"]), largest(accrual_ratios(books))),
        gap=largest(books["gap_ratio"]),
        coverage=float(summary["coverage_percent"]),
        sum_error=float(summary["displacement"]["sum_error"]),
        visits_share=float(summary["displacement"]["visits_share_median"]),
        size=f"{summary['steps']} steps, {summary['groups']} groups",
    )


def accrual_ratios(books: Columns) -> list[float | None]:
    """Return the residual on accrual basis over the sum of the norms of all accrual lines."""
    columns = [books[f"{line}_norm"] for line in ACCRUAL_LINES]
    ratios: list[float | None] = []
    for rest, *norms in zip(books["accrual_residual_norm"], *columns, strict=True):
        known = [norm for norm in norms if norm is not None]
        if rest is None or len(known) < len(norms):
            ratios.append(None)
        else:
            ratios.append(rest / sum(known) if rest else 0.0)
    return ratios


def largest(ratios: Sequence[float | None]) -> float:
    """Return the largest ratio; one that is no finite number counts as infinite."""
    if not ratios:
        raise ValueError("the books are empty")
    return max(math.inf if x is None or not math.isfinite(x) else x for x in ratios)
