"""Capabilities: how each behaviour moved, and what moved it, in nats that add up."""

from __future__ import annotations

from typing import Final

from gradledger.errors import QueryError
from gradledger.query import ORDERS, Answer
from gradledger.web.context import Context, choice
from gradledger.web.page import Chart, Form, Page, Section
from gradledger.web.pages.behind import EXAMPLE_NAMES
from gradledger.web.show import PAGE_ROWS, facts, section

_UNIT_KEYS: Final = ("block", "group")


def capability(context: Context) -> Page:
    """Return the page of one probe, or of all where none is named."""
    every = context.ask("capabilities")
    names = [str(row["name"]) for row in every.rows]
    name = context.arguments.text("name")
    if name is None:
        return _all(context)
    given = context.arguments
    by = given.text("by", "example") or "example"
    # What lowered the loss built the behaviour: that is what most people come for.
    order = given.choice("order", tuple(ORDERS), "negative")
    group = given.text("group")
    number = given.number("page", 1, low=1, high=2000) or 1
    answer = context.ask(
        "capability",
        name,
        by=by,
        group=group,
        order=order,
        top=number * PAGE_ROWS,
        **context.span,
    )
    admitted = context.ask("policies", name, group=group, **context.span)
    form = Form(
        context.path("capability"),
        (
            choice("name", "capability", names, name),
            context.by_control("example", _UNIT_KEYS),
            choice("order", "order", tuple(ORDERS), order),
            context.group_control(),
            *context.span_controls(),
        ),
        "Show",
    )
    return Page(
        name="capability",
        title=f"Capability: {name}",
        lead=str(answer.facts.get("behaviour", "")),
        form=form,
        sections=_sections(context, name, answer, admitted),
        commands=(
            context.command("capability", name, by=by, order=order, group=group, **context.span),
            context.command("policies", capability=name),
        ),
        answers={"capability": answer, "policies": admitted},
    )


def _sections(context: Context, name: str, answer: Answer, admitted: Answer) -> tuple[Section, ...]:
    """Return the movement, all lines, the ranking, who admitted it, and where it acted."""
    number = context.arguments.number("page", 1, low=1) or 1
    by = context.arguments.text("by", "example")
    parts = [
        section(
            answer,
            "course",
            name="course",
            is_half=True,
            is_folded=True,
            title="Movement",
            facts=facts(answer),
            look=context.look("course", "capability"),
            chart=Chart(
                "lines",
                f"Loss of {name} over steps",
                {"x": "stop_step", "y": "after", "unit": "nats", "label": "step"},
            ),
        ),
        section(
            answer,
            "lines",
            title="Everything that moved it adds up to the measured change",
            is_half=True,
            look=context.look("lines", "capability", bars=("nats",)),
            chart=Chart(
                "waterfall", "All lines add up to the measured change", {"x": "line", "y": "nats"}
            ),
        ),
        section(
            answer,
            "ranking",
            notes=True,
            look=context.look(
                "ranking",
                "capability",
                bars=("nats",),
                hide=("examples", "verdict", "policy"),
                also=EXAMPLE_NAMES,
                page=number,
                open_ended=True,
                paged=lambda turned: context.here(page=turned),
            ),
            lead="negative nats lowered the loss, that is, taught the behaviour",
            links=(
                ("the derivative through the run", context.link("behaviour", name=name)),
                ("what if some of them were removed", context.link("whatif")),
            ),
        ),
        section(
            admitted,
            title="Who admitted what shaped it: policy, version, rule",
            name="admitted",
            is_half=True,
            look=context.look(admitted.tables[0].name, "policies", bars=("share", "nats")),
            links=(("policies and rules", context.link("policies", capability=name)),),
        ),
    ]
    if by != "block":
        parts.append(
            section(
                answer,
                "blocks",
                title="Where in the model",
                is_half=True,
                look=context.look("blocks", "capability", bars=("nats",)),
            )
        )
    return tuple(parts)


def _all(context: Context) -> Page:
    every = context.ask("capabilities")
    parts = [
        section(
            every,
            notes=True,
            title="Every probe of the run",
            look=context.look(
                "capabilities",
                "capabilities",
                bars=("measured",),
                rename={"name": "capability"},
                hide=("inputs_digest", "mode"),
                link=lambda column, value, _: (
                    context.link("capability", name=value) if column == "name" else None
                ),
            ),
        )
    ]
    for row in every.rows:
        name = str(row["name"])
        try:
            answer = context.ask("capability", name, top=5, order="negative")
        except QueryError as error:
            parts.append(
                Section(
                    f"not-{name}", name, is_half=True, lead=f"Not attributed: {error.observed}."
                )
            )
            continue
        parts.append(
            section(
                answer,
                "course",
                name=f"course-{len(parts)}",
                title=name,
                is_half=True,
                is_folded=True,
                chart=Chart(
                    "lines",
                    f"Loss of {name} over steps",
                    {"x": "stop_step", "y": "after", "unit": "nats", "label": "step"},
                ),
                look=context.look(),
                links=(("what moved it", context.link("capability", name=name)),),
            )
        )
    return Page(
        name="capability",
        title="Capabilities",
        lead="how each behaviour moved, in nats",
        sections=tuple(parts),
        commands=(context.command("capability"),),
        answers={"capabilities": every},
    )
