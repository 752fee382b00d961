"""What a page is before it is HTML, JSON or CSV: sections with tables, facts, charts and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gradledger.query import Answer

#: Marks of a figure: the three kinds of answer, in the words that pages use.
MARKS: Final[dict[str, str]] = {
    "accounting": "exact",
    "prediction": "estimated",
    "truth": "executed",
}


#: Characters of a fact that shares its line with others, at most.
_LONG_FACT: Final = 44


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, what a chart reads, where it leads.

    Attributes:
        text: What is shown.
        value: The figure in full.
        href: Where it leads.
        bar: Start and width of a bar in hundredths, whether zero is in its middle, whether the
            figure is negative.
        tone: ``good``, ``bad`` or ``warn``.
    """

    text: str
    value: str | None = None
    href: str | None = None
    bar: tuple[float, float, bool, bool] | None = None
    tone: str = ""


@dataclass(frozen=True)
class Head:
    """The head of a column; ``mark`` only where it differs from the table's."""

    name: str
    text: str
    is_words: bool
    wraps: bool = False
    mark: str = ""


@dataclass(frozen=True)
class Chart:
    """How the table of a section is drawn.

    Attributes:
        kind: Drawing of ``charts.mjs``: ``lines``, ``heat``, ``bars``, ``small``, ``waterfall``.
        title: What it shows, for those who do not see it.
        options: Names of columns and words for axes.
    """

    kind: str
    title: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """A table as it is shown."""

    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    num_rows: int
    csv: str = ""
    before: str = ""
    after: str = ""
    place: str = ""


@dataclass(frozen=True)
class Fact:
    """A single figure with its name."""

    name: str
    text: str
    href: str | None = None
    tone: str = ""

    @property
    def is_long(self) -> bool:
        """Whether it needs a line of its own."""
        return len(self.name) + len(self.text) > _LONG_FACT


@dataclass(frozen=True)
class Option:
    """One choice of a control."""

    value: str
    text: str
    chosen: bool = False


@dataclass(frozen=True)
class Control:
    """One field of the form that changes a page's state.

    Attributes:
        name: Name of the argument.
        label: What is beside it.
        kind: ``choice``, ``number``, ``text``, ``lines`` or ``hidden``.
        value: What it holds now.
        options: Choices, or suggestions for a text.
        hint: Shown in an empty field.
    """

    name: str
    label: str
    kind: str = "text"
    value: str = ""
    options: tuple[Option, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Form:
    """A form: by GET it changes what is shown, by POST it starts work."""

    action: str
    controls: tuple[Control, ...]
    button: str
    method: str = "get"
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes:
        name: Id within the page.
        title: Heading.
        mark: ``exact``, ``estimated``, ``executed`` or nothing.
        lead: One sentence below the heading.
        facts: Single figures.
        grid: Its table.
        chart: How the table is drawn.
        text: Content of an example, shown as it is.
        notes: Conventions and warnings.
        links: Where to go from here: text, URL.
        forms: Forms of the section.
        is_live: Whether it is fetched anew while the run trains.
        is_half: Whether it takes half of a wide page.
        is_folded: Whether its table is folded behind its chart.
        tone: ``good`` or ``bad`` for a verdict.
        progress: Done and whole of work under way.
    """

    name: str
    title: str
    mark: str = ""
    lead: str = ""
    facts: tuple[Fact, ...] = ()
    grid: Grid | None = None
    chart: Chart | None = None
    text: str | None = None
    notes: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    forms: tuple[Form, ...] = ()
    is_live: bool = False
    is_half: bool = False
    is_folded: bool = False
    tone: str = ""
    progress: tuple[int, int] | None = None


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        name: Its name in the navigation, also the command's.
        title: Heading.
        lead: One sentence below it.
        sections: Its parts, in order.
        form: Controls that change its state.
        commands: The same on a command line.
        answers: Name -> answer of the ledger; what JSON and CSV hold.
        extra: What JSON holds besides.
        live_seconds: Seconds between two looks of a browser; 0 where nothing changes by itself.
    """

    name: str
    title: str
    lead: str = ""
    sections: tuple[Section, ...] = ()
    form: Form | None = None
    commands: tuple[str, ...] = ()
    answers: Mapping[str, Answer] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    live_seconds: float = 0.0
