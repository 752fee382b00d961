"""The evidence model: what a report says, before anything is drawn. Renderers read nothing else.

No figure stands alone. Each names its unit, how it was measured, how exact it is and from which
records it comes; figures that share all four share one ``Basis``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

#: How exact a figure can be.
EXACTNESS: Final[dict[str, str]] = {
    "exact": "counted or compared, no arithmetic on floating point",
    "to rounding": "a sum of floating-point numbers that were booked; nothing is estimated",
    "estimated": "a statistic or a sample; another method could give another figure",
    "executed": "found by executing the run again",
    "declared": "said by whoever recorded the run; not checked",
}

Value = str | int | float | None


@dataclass(frozen=True)
class Basis:
    """What stands behind a figure.

    Attributes:
        unit: Unit of the value; ``1`` for fractions.
        method: Measure and basis, or how it was counted.
        exactness: A key of ``EXACTNESS``.
        places: Tables and documents of the run that were read, such as ``visits``.
        query: What was asked of them, in words.
    """

    unit: str
    method: str
    exactness: str
    places: tuple[str, ...]
    query: str


@dataclass(frozen=True)
class Figure:
    """A single figure or fact.

    Attributes:
        name: Key that does not change between versions.
        label: What it is, in words.
        value: ``None`` where it cannot be known.
        basis: What stands behind it.
        kind: ``text``, ``integer``, ``share`` (a fraction), ``weight`` or ``number``.
    """

    name: str
    label: str
    value: Value
    basis: Basis
    kind: str = "number"


@dataclass(frozen=True)
class Field:
    """A column of a grid; its basis holds for every cell below it.

    Attributes:
        name: Key in JSON.
        header: What stands above the column.
        kind: As of ``Figure``.
        basis: What stands behind the cells; ``None`` for labels.
        adds: Whether rows may be added up, so that what is not shown can be gathered in one row.
    """

    name: str
    header: str
    kind: str = "text"
    basis: Basis | None = None
    adds: bool = False


@dataclass(frozen=True)
class Grid:
    """A table of figures.

    Attributes:
        name: Key within the report.
        title: One line above it.
        fields: Its columns.
        rows: All rows.
        total: Row below the others; its parts are the rows. ``None`` where nothing adds up.
        shown: Rows that a page shows; the others are gathered in one row there.
        note: A sentence below it.
    """

    name: str
    title: str
    fields: tuple[Field, ...]
    rows: tuple[tuple[Value, ...], ...]
    total: tuple[Value, ...] | None = None
    shown: int = 24
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A picture of a grid, which stays the place where figures are read.

    Attributes:
        kind: ``bars``, ``heat``, ``timeline`` or ``balance``.
        title: What it shows.
        description: The same for those who do not see it.
        grid: The table behind it.
        columns: Names of the fields that are drawn, in order.
        is_grid_beside: Whether the table is shown in the open, or to be unfolded below the chart.
    """

    kind: str
    title: str
    description: str
    grid: Grid
    columns: tuple[str, ...]
    is_grid_beside: bool = False


@dataclass(frozen=True)
class Verdict:
    """A question that is answered at the head of the report.

    Attributes:
        name: Key that does not change between versions.
        question: The question.
        answer: ``yes``, ``no`` or ``not known``; yes is what one hopes for.
        because: One sentence with the figures that decide it.
    """

    name: str
    question: str
    answer: str
    because: str


@dataclass(frozen=True)
class Section:
    """A chapter of the report: words, then figures, charts and grids."""

    key: str
    title: str
    words: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    charts: tuple[Chart, ...] = ()
    grids: tuple[Grid, ...] = ()


@dataclass(frozen=True)
class FileDigest:
    """A file of the run that figures come from: place below the run, length, SHA-256."""

    path: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class SignedLog:
    """The signed log of a run, where it has one.

    Attributes:
        origin: Name of the log.
        size: Leaves that the checkpoint covers.
        root: Root hash, 64 hex digits.
        signers: Names of the keys whose signatures hold.
        findings: What the check of the log found; empty where it holds.
    """

    origin: str
    size: int
    root: str
    signers: tuple[str, ...]
    findings: tuple[str, ...] = ()


#: Gives the signed log of a run, checked; None where there is none.
LogCheck = Callable[[], SignedLog | None]


def unsigned() -> None:
    """Say that a report rests on no signed log."""


@dataclass(frozen=True)
class Subject:
    """Which run, as of when, written by which version: binds the report to its records."""

    run_name: str
    run_id: str
    as_of: str
    final_digest: str
    policy: str
    policy_digest: str
    manifest_sha256: str
    generator: str


@dataclass(frozen=True)
class Evidence:
    """A whole report. The same records give the same evidence, to the bit.

    Attributes:
        kind: ``rights`` or ``safety``.
        title: Its title.
        lead: One or two sentences: what the report answers.
        subject: What it is about.
        verdicts: Answers at its head.
        headline: Figures at its head.
        sections: Chapters.
        gauges: Figures by the name under which a gate may hold them to a bar.
        limits: What the report does not prove, in plain words.
        files: Files of the run behind the figures.
        signed_log: The signed log, where the run has one.
    """

    kind: str
    title: str
    lead: str
    subject: Subject
    verdicts: tuple[Verdict, ...]
    headline: tuple[Figure, ...]
    sections: tuple[Section, ...]
    gauges: dict[str, Figure]
    limits: tuple[str, ...]
    files: tuple[FileDigest, ...]
    signed_log: SignedLog | None = None
    format: str = field(default="gradledger.report/1")
