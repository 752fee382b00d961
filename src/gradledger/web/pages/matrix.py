"""The parameter map: every part of the model against every kind of example, and over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradledger.query import MEASURES, UNITS, Answer
from gradledger.web.context import Context, choice
from gradledger.web.page import Chart, Form, Page, Section
from gradledger.web.show import facts, section


def matrix(context: Context) -> Page:
    """Return the parameter map."""
    given = context.arguments
    rows = given.choice("rows", UNITS, "block")
    columns = given.text("columns", "class") or "class"
    measure = given.choice("measure", ("", *MEASURES), "") or None
    top = given.number("top", 8, low=1, high=40)
    group = given.text("group")
    map_ = context.ask(
        "matrix", group, rows=rows, columns=columns, measure=measure, top=top, **context.span
    )
    course = context.ask(
        "timeline",
        group,
        by=columns,
        measure=measure,
        top=min(top or 8, 8),
        windows=40,
        **context.span,
    )

    span = {name: value for name, value in context.span.items() if value is not None}
    return Page(
        name="matrix",
        title="Parameter map",
        lead=map_.title.partition(": ")[2],
        form=Form(
            context.path("matrix"),
            (
                choice("rows", "rows", UNITS, rows),
                context.by_control("class", name="columns"),
                choice("measure", "measure", ("", *MEASURES), measure or ""),
                context.group_control(),
                *context.span_controls(),
            ),
            "Show",
        ),
        sections=_sections(context, map_, course, rows, columns),
        commands=(
            context.command(
                "matrix", rows=rows, columns=columns, group=group, measure=measure, **span
            ),
            context.command("timeline", by=columns, group=group, measure=measure, **span),
        ),
        answers={"matrix": map_, "timeline": course},
    )


def _sections(
    context: Context, map_: Answer, course: Answer, rows: str, columns: str
) -> tuple[Section, ...]:
    """Return the map and its course over steps."""

    def lead(column: str, value: Any, row: Mapping[str, Any]) -> str | None:
        name, sign, kind = column.partition("=")
        if sign and name == columns and kind:
            unit = row[rows]
            inside = None if unit == "total" else unit
            return context.link("trace", group=inside, by="example", **context.span)
        return context.lead(column, value, row)

    shares = next(table for table in map_.tables if table.in_text)
    keyed = [column.name for column in shares.columns if column.name.startswith(f"{columns}=")]
    heat = Chart(
        "heat",
        f"Share of each {rows}'s change by {columns}",
        {"y": rows, "columns": "\n".join(keyed), "prefix": f"{columns}=", "label": columns},
    )
    small = Chart(
        "small",
        f"Share of change over steps, by {columns}",
        {"x": "last_step", "y": "share", "facet": columns, "label": "step"},
    )
    every = [column.name for column in shares.columns if column.name not in {"visits", "rest"}]
    return (
        section(
            map_,
            shares.name,
            name="map",
            chart=heat,
            notes=True,
            facts=facts(map_, ("measure",)),
            title=f"Whose visits moved each {rows}: share of its change",
            look=context.look(
                shares.name, "matrix", link=lead, bars=keyed, only=(*every, "visits", "rest")
            ),
        ),
        section(
            course,
            "cells",
            name="course",
            chart=small,
            is_folded=True,
            title=f"Over steps, by {columns}",
            look=context.look("cells", "timeline", bars=("share",)),
            facts=facts(course, ("windows",)),
        ),
    )
