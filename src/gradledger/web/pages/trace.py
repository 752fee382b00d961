"""Backward: what moved a parameter group."""

from __future__ import annotations

from gradledger.query import MEASURES, ORDERS, Answer
from gradledger.web.context import Context, choice
from gradledger.web.page import Chart, Form, Page, Section
from gradledger.web.show import PAGE_ROWS, facts, section


def trace(context: Context) -> Page:
    """Return the ranking behind a parameter group, its books, and its course."""
    given = context.arguments
    group, by = given.text("group"), given.text("by", "example") or "example"
    measure = given.choice("measure", ("", *MEASURES), "") or None
    order = given.choice("order", tuple(ORDERS), "size")
    number = given.number("page", 1, low=1, high=2000) or 1
    ranked = context.ask(
        "trace",
        group,
        by=by,
        measure=measure,
        order=order,
        top=number * PAGE_ROWS,
        **context.span,
    )
    books = context.ask("books", group, by="group", **context.span)
    course = context.ask(
        "timeline", group, by="class", measure=measure, windows=40, top=6, **context.span
    )
    span = {name: value for name, value in context.span.items() if value is not None}
    return Page(
        name="trace",
        title=f"Trace: what moved {group or 'all parameters'}",
        lead="backward, from a part of the model to the examples that moved it",
        form=Form(
            context.path("trace"),
            (
                context.group_control(),
                context.by_control("example"),
                choice("order", "order", tuple(ORDERS), order),
                choice("measure", "measure", ("", *MEASURES), measure or ""),
                *context.span_controls(),
            ),
            "Show",
        ),
        sections=_sections(context, ranked, books, course),
        commands=(
            context.command("trace", group=group, by=by, measure=measure, order=order, **span),
        ),
        answers={"trace": ranked, "books": books, "timeline": course},
    )


def _sections(
    context: Context, ranked: Answer, books: Answer, course: Answer
) -> tuple[Section, ...]:
    """Return the ranking, all lines, the course over steps, and the books."""
    number = context.arguments.number("page", 1, low=1) or 1
    group = context.arguments.text("group")
    by_example = context.arguments.text("by", "example") == "example"
    ranking = context.look(
        "ranking",
        "trace",
        bars=("share",),
        page=number,
        open_ended=True,
        paged=lambda turned: context.here(page=turned),
        hide=(("value",) if ranked.measure != "norm" else ())
        + (("examples",) if by_example else ()),
        also=("class", "source"),
    )
    return (
        section(
            ranked,
            "ranking",
            look=ranking,
            notes=True,
            facts=facts(ranked),
            title=ranked.tables[0].title,
        ),
        *(
            section(
                ranked,
                table.name,
                is_half=True,
                look=context.look(table.name, "trace", bars=("share",)),
                chart=Chart(
                    "waterfall", "All lines add up to the change", {"x": "line", "y": "share"}
                ),
            )
            for table in ranked.tables[1:]
        ),
        section(
            course,
            "cells",
            name="course",
            is_folded=True,
            is_half=True,
            title="Over steps, by class",
            look=context.look("cells", "timeline", bars=("share",)),
            chart=Chart(
                "small",
                "Share of change over steps, by class",
                {"x": "last_step", "y": "share", "facet": "class", "label": "step"},
            ),
        ),
        section(
            books,
            name="books",
            title="The books of these groups",
            look=context.look("", bars=("visits",)),
            links=(("all lines of the books", context.link("books", group=group)),),
        ),
    )
