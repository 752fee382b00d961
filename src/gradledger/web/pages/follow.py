"""Forward: what an example, a source, a licence, a class or a rule changed."""

from __future__ import annotations

from gradledger.query import UNITS, Answer
from gradledger.query.selection import words
from gradledger.web.context import Context, choice
from gradledger.web.page import Chart, Control, Form, Page, Section
from gradledger.web.show import facts, section


def follow(context: Context) -> Page:
    """Return what a kind of examples changed; without one, the kinds to choose from."""
    where = context.arguments.filters()
    if not where:
        return _kinds(context)
    unit = context.arguments.choice("by", UNITS, "block")
    answer = context.ask("follow", where=where, by=unit, **context.span)
    effects = context.ask("effects", where=where)
    used = context.ask("first_use", where=where)
    listed = context.ask("examples", where, top=20)
    chosen = context.arguments.many("where")
    answers = {"follow": answer, "effects": effects, "first_use": used, "examples": listed}
    return Page(
        name="follow",
        title=f"Follow: {words(where)}",
        lead="forward, from examples to what they changed",
        sections=_sections(context, answers, unit),
        form=Form(
            context.path("follow"),
            (
                *(_where(item) for item in chosen),
                choice("by", "by", UNITS, unit),
                *context.span_controls(),
            ),
            "Show",
        ),
        commands=(
            context.command("follow", where=chosen, by=unit, **context.span),
            context.command("effects", where=chosen),
        ),
        answers=answers,
    )


def _sections(context: Context, answers: dict[str, Answer], unit: str) -> tuple[Section, ...]:
    """Return what was changed where, when and in behaviour, and who admitted it."""
    answer, effects = answers["follow"], answers["effects"]
    used, listed = answers["first_use"], answers["examples"]
    chosen = context.arguments.many("where")
    sections = [
        Section(
            "facts",
            "In short",
            facts=(
                *facts(answer),
                *facts(used, ("first step in which they acted", "last clean model state")),
            ),
            links=(
                ("what if it were removed", context.link("whatif", where=chosen)),
                ("its examples", context.link("examples", where=chosen)),
            ),
            mark="exact",
        ),
        section(
            answer,
            "where",
            title=f"Where: by {unit}, from input to output",
            notes=True,
            look=context.look("where", "follow", bars=("displacement", "energy")),
        ),
        section(
            answer,
            "when",
            title="When: share of change over steps",
            is_half=True,
            look=context.look("when", "follow", bars=("energy",)),
            chart=Chart(
                "lines",
                "Energy share over steps",
                {"x": "last_step", "y": "energy", "label": "step", "zero": "yes"},
            ),
        ),
    ]
    if effects.rows:
        sections.append(
            section(
                effects,
                title="What it did to each behaviour",
                is_half=True,
                notes=True,
                look=context.look("effects", "effects", bars=("nats",)),
            ),
        )
    sections += [
        section(
            answer,
            "decisions",
            title="Decisions behind it: who admitted it, by which rule",
            look=context.look("decisions", "follow"),
        ),
        section(
            listed,
            title=f"First of its {listed.facts['examples']} examples",
            look=context.look("examples", "examples"),
            links=(("all of them", context.link("examples", where=chosen)),),
        ),
    ]
    return tuple(sections)


def _where(item: str) -> Control:
    return Control("where", "where", "text", item, hint="COLUMN=VALUE")


def _kinds(context: Context) -> Page:
    """Return the kinds of examples by share, under one column."""
    names = list(context.kinds)
    column = context.arguments.choice("column", names, "source" if "source" in names else "class")
    answer = context.ask("trace", by=column, top=200, **context.span)
    return Page(
        name="follow",
        title="Follow: what did they change?",
        lead="choose a source, a licence, a class, a rule or any other kind of examples",
        sections=(
            section(
                answer,
                "ranking",
                title=f"Every {column}, by share of the change",
                notes=True,
                look=context.look("ranking", "trace", bars=("share",), hide=("value",)),
            ),
        ),
        form=Form(
            context.path("follow"),
            (choice("column", "kind", names, column), *context.span_controls()),
            "Show",
        ),
        commands=(context.command("trace", by=column, **context.span),),
        answers={"trace": answer},
    )
