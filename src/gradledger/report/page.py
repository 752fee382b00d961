"""The page: the evidence as one HTML file that loads nothing, runs nothing and prints well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gradledger.report.appendix import Notes, appendix, file_table
from gradledger.report.draw_balance import draw_balance
from gradledger.report.draw_bars import draw_bars
from gradledger.report.draw_heat import draw_heat
from gradledger.report.draw_timeline import draw_timeline
from gradledger.report.evidence import Chart, Evidence, Figure, Section, Verdict
from gradledger.report.markup import Markup, join, prose, tag
from gradledger.report.numerals import numerals
from gradledger.report.sheets import crossed, sheet_of
from gradledger.report.style import CONTENT_POLICY, STYLE

#: Kind of chart -> how it is drawn.
DRAWN: Final[dict[str, Callable[[Chart, int], Markup]]] = {
    "balance": draw_balance,
    "bars": draw_bars,
    "heat": draw_heat,
    "timeline": draw_timeline,
}

_BARE_UNITS: Final = frozenset({"1", "text", "hex"})


def page(evidence: Evidence) -> str:
    """Return the report as one HTML document, UTF-8."""
    notes = Notes()
    head = _head(evidence, notes)
    chapters = [
        _chapter(section, number, notes) for number, section in enumerate(evidence.sections, 1)
    ]
    number = len(chapters) + 1
    content = [
        head,
        _contents(evidence),
        *chapters,
        _limits(evidence, number),
        appendix(notes, number + 1),
        file_table(evidence.files),
        tag("footer", _binding(evidence), class_="bind"),
    ]
    document = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=CONTENT_POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="referrer", content="no-referrer"),
            tag("title", f"{evidence.title}: {evidence.subject.run_name}"),
            tag("style", Markup(STYLE)),
        ),
        tag("body", *content),
        lang="en",
    )
    return f"<!doctype html>\n{document}\n"


def _head(evidence: Evidence, notes: Notes) -> Markup:
    subject = evidence.subject
    rows = [_verdict(item) for item in evidence.verdicts]
    return tag(
        "header",
        tag("p", "Gradledger", class_="over"),
        tag("h1", f"{evidence.title}: {subject.run_name}"),
        tag("p", evidence.lead, class_="lead"),
        tag("ul", *rows, class_="verdicts"),
        tag("dl", *(_head_figure(figure, notes) for figure in evidence.headline), class_="head"),
    )


def _verdict(item: Verdict) -> Markup:
    kind = item.answer.split()[0]
    return tag(
        "li",
        tag("strong", item.answer.capitalize()),
        tag("div", tag("b", item.question), tag("span", item.because)),
        class_=kind if kind in {"yes", "no", "not"} else None,
    )


def _head_figure(figure: Figure, notes: Notes) -> Markup:
    value = numerals([figure.value], figure.kind)[0]
    unit = tag("small", " %") if figure.kind == "share" and figure.value is not None else None
    return tag("div", tag("dd", value, unit), tag("dt", figure.label, notes.mark(figure.basis)))


def _contents(evidence: Evidence) -> Markup:
    links = [
        tag("a", f"{number} {section.title}", href=f"#c{number}")
        for number, section in enumerate(evidence.sections, 1)
    ]
    number = len(links) + 1
    links += [
        tag("a", f"{number} Limits", href=f"#c{number}"),
        tag("a", f"{number + 1} Where each figure comes from", href=f"#c{number + 1}"),
    ]
    return tag("nav", *(join([link, " "]) for link in links), aria_label="Contents")


def _chapter(section: Section, number: int, notes: Notes) -> Markup:
    parts: list[Markup | None] = [heading(number, section.title)]
    parts += [tag("p", prose(text)) for text in section.words]
    if section.figures:
        parts.append(_facts(section.figures, notes))
    parts += [
        _figure(chart, 10 * number + place, notes) for place, chart in enumerate(section.charts)
    ]
    parts += [sheet_of(grid, notes) for grid in section.grids]
    return tag("section", *parts)


def heading(number: int, title: str) -> Markup:
    """Return the heading of a chapter, which the contents lead to."""
    return tag("h2", tag("span", number, class_="n"), title, id=f"c{number}")


def _facts(figures: tuple[Figure, ...], notes: Notes) -> Markup:
    cells: list[Markup] = []
    for figure in figures:
        value = numerals([figure.value], figure.kind)[0]
        unit = ""
        if figure.value is not None and figure.kind != "text":
            unit = " %" if figure.kind == "share" else f" {figure.basis.unit}"
            unit = "" if figure.basis.unit in _BARE_UNITS and figure.kind != "share" else unit
        is_digest = figure.basis.unit == "hex" and figure.value is not None
        shown = tag("span", value, class_="digest") if is_digest else value
        cells += [
            tag("dt", figure.label),
            tag("dd", shown, tag("span", unit, class_="muted") if unit else None,
                notes.mark(figure.basis)),
        ]  # fmt: skip
    return tag("dl", *cells, class_="facts")


def _figure(chart: Chart, number: int, notes: Notes) -> Markup:
    below = chart.grid if not chart.is_grid_beside else crossed(chart)
    first = next(field for field in chart.grid.fields if field.name == chart.columns[0])
    mark = notes.mark(first.basis) if first.basis else None
    return join([
        tag("figure", tag("figcaption", chart.title, mark), DRAWN[chart.kind](chart, number)),
        tag("details", tag("summary", "the figures"), sheet_of(below, notes)) if below else None,
    ])  # fmt: skip


def _limits(evidence: Evidence, number: int) -> Markup:
    return tag(
        "section",
        heading(number, "Limits: what this does not prove"),
        tag("ul", *(tag("li", prose(text)) for text in evidence.limits), class_="limits"),
    )


def _binding(evidence: Evidence) -> Markup:
    subject = evidence.subject
    pairs = [
        ("run", subject.run_id),
        ("as of", subject.as_of),
        ("final model state", subject.final_digest),
        ("policy", subject.policy_digest),
        ("manifest", subject.manifest_sha256),
        ("format", evidence.format),
        ("by", subject.generator),
    ]
    words = "; ".join(f"{name} {value}" for name, value in pairs if value)
    return tag("p", prose(f"Bound to: {words}. The same records give the same report."))
