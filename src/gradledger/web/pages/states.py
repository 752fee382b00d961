"""Model states: what is stored, and what changed from one to another."""

from __future__ import annotations

from gradledger.query import UNITS
from gradledger.web.context import Context, choice
from gradledger.web.page import Control, Form, Page
from gradledger.web.show import facts, section


def states(context: Context) -> Page:
    """Return the stored states, and the difference between two steps."""
    stored = context.ask("states", check=False)
    span = context.ledger.span or (0, 0)
    given = context.arguments
    start = given.number("start", 0) or 0
    stop = given.number("stop", span[1]) or span[1]
    by = given.choice("by", UNITS, "block")
    who = given.text("who", "class")
    parts = [
        section(
            stored,
            notes=True,
            facts=facts(stored),
            look=context.look(stored.tables[0].name, "states"),
            lead="digests are compared with the files by verification",
        )
    ]
    answers = {"states": stored}
    if stop > start:
        changed = context.ask("diff", start, stop, by=by, who=who)
        answers["diff"] = changed
        parts += [
            section(
                changed,
                table.name,
                name=f"diff-{place}",
                notes=place == 0,
                is_half=True,
                facts=facts(changed) if place == 0 else (),
                look=context.look(table.name, "diff", bars=("change", "share")),
            )
            for place, table in enumerate(changed.tables)
        ]
    return Page(
        name="states",
        title="Model states",
        lead=f"what changed from after step {start} to after step {stop}, and who moved it",
        form=Form(
            context.path("states"),
            (
                Control("start", "from after step", "number", str(start)),
                Control("stop", "to after step", "number", str(stop)),
                choice("by", "by", UNITS, by),
                context.by_control("class", name="who"),
            ),
            "Show",
        ),
        sections=tuple(parts),
        commands=(context.command("states"), context.command("diff", start, stop, by=by)),
        answers=answers,
    )
