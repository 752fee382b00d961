"""The examples of a run, to look through."""

from __future__ import annotations

from dataclasses import replace

from gradledger.web.context import Context
from gradledger.web.page import Control, Form, Page, Section
from gradledger.web.show import PAGE_ROWS, Look, section


def examples(context: Context) -> Page:
    """Return examples, admitted or not, page by page."""
    where, search = context.arguments.filters(), context.arguments.text("search", "") or ""
    number = context.arguments.number("page", 1, low=1) or 1
    # The whole table pages on the server: only this page's rows are read.
    answer = context.ask(
        "examples", where, search=search, top=PAGE_ROWS, skip=(number - 1) * PAGE_ROWS
    )
    total = int(answer.facts["examples"])
    look: Look = context.look("examples", "examples")
    part = section(answer, title=f"{total} examples", look=look)
    chosen = context.arguments.many("where")
    return Page(
        name="examples",
        title="Examples",
        lead="everything that was shown to the policy, admitted or not",
        sections=(_turned(part, context, number, total),),
        form=Form(
            context.path("examples"),
            (
                Control("search", "search", "text", search, hint="path, source, licence, id"),
                *(Control("where", "where", "text", item) for item in chosen or [""]),
            ),
            "Search",
        ),
        commands=(
            context.command(
                "examples",
                where=chosen,
                search=search or None,
                top=PAGE_ROWS,
                skip=(number - 1) * PAGE_ROWS,
            ),
        ),
        answers={"examples": answer},
    )


def _turned(part: Section, context: Context, number: int, total: int) -> Section:
    if part.grid is None:
        return part
    first = (number - 1) * PAGE_ROWS
    count = len(part.grid.rows)
    turned = replace(
        part.grid,
        num_rows=total,
        place=f"{first + 1 if count else 0} to {first + count} of {total}",
        before=context.here(page=number - 1) if number > 1 else "",
        after=context.here(page=number + 1) if first + count < total else "",
    )
    return replace(part, grid=turned)
