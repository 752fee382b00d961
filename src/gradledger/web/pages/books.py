"""The books: every line of every part of the model, and the steps one by one."""

from __future__ import annotations

from gradledger.query import UNITS
from gradledger.web.context import Context, choice
from gradledger.web.page import Control, Form, Page
from gradledger.web.show import PAGE_ROWS, facts, section


def books(context: Context) -> Page:
    """Return the books of groups and steps."""
    given = context.arguments
    group, step = given.text("group"), given.number("step")
    by = given.choice("by", UNITS, "block")
    answer = context.ask(
        "books", group, by=by, step=step, **({} if step is not None else context.span)
    )
    first = context.ledger.span or (1, 1)
    number = given.number("page", 1, low=1) or 1
    start = first[0] + (number - 1) * PAGE_ROWS
    asked = {"start": step, "stop": step}
    if step is None:
        asked = {"start": min(start, first[1]), "stop": min(start + PAGE_ROWS - 1, first[1])}
    steps = context.ask("steps", **asked)
    parts = [
        section(
            answer,
            table.name,
            notes=place == 0,
            facts=facts(answer) if place == 0 else (),
            look=context.look(
                table.name, "books", bars=[c.name for c in table.columns if c.kind == "share"][:1]
            ),
        )
        for place, table in enumerate(answer.tables)
        if table.rows
    ]
    look = context.look("steps", "steps", bars=("visits_share",))
    part = section(
        steps,
        title=f"Steps {asked['start']} to {asked['stop']} of {first[1]}",
        name="steps",
        notes=True,
        look=look,
        links=tuple(
            (label, context.here(page=turned))
            for label, turned in (("earlier steps", number - 1), ("later steps", number + 1))
            if step is None and 1 <= turned <= -(-(first[1] - first[0] + 1) // PAGE_ROWS)
        ),
    )
    if step is not None:
        used = context.ask("visits", start=step, stop=step)
        parts.append(
            section(used, title="Its visits", notes=True, look=context.look("", hide=("step",)))
        )
    return Page(
        name="books",
        title="Books" + (f" of step {step}" if step is not None else ""),
        lead="double entry: all lines add up to the change that is found in the parameters",
        form=Form(
            context.path("books"),
            (
                context.group_control(),
                choice("by", "by", UNITS, by),
                Control(
                    "step", "step", "number", str(step) if step is not None else "", hint="all"
                ),
                *context.span_controls(),
            ),
            "Show",
        ),
        sections=(*parts, part),
        commands=(
            context.command(
                "books", group=group, by=by, step=step, **({} if step is not None else context.span)
            ),
            context.command("steps", **asked),
        ),
        answers={"books": answer, "steps": steps},
    )
