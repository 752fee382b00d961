"""One example: what it is, who admitted it, when it was used, what it did."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.responses import Response

from gradledger.errors import GradledgerError
from gradledger.query import Answer, Column, Table, inert
from gradledger.web.context import Context
from gradledger.web.page import Chart, Control, Fact, Form, Page, Section
from gradledger.web.show import facts, section

#: Longer values, digests and figures name no kind of examples.
_LONGEST_KIND: Final = 60
_FIGURE: Final = re.compile(r"[-+.\deE]+|[0-9a-f]{32,}")


def example(context: Context) -> Page:
    """Return the page of one example, named by number, id or key."""
    asked = context.arguments.text("example", "0") or "0"
    what = context.ask("describe", asked)
    number = int(what.facts["example"])
    decided = context.ask("decide", number)
    was_used = bool(decided.table("examples").records()[0]["visits"])
    sections = [
        Section(
            "short",
            "In short",
            mark="exact",
            facts=tuple(_fact(context, fact) for fact in facts(what, hide=("example",))),
            links=(
                ("what if it were removed", context.link("whatif", where=f"example={number}")),
                ("receipt", context.link("receipt", example=number)),
            ),
            is_half=True,
        ),
        _content(context, what),
        section(
            decided,
            "rules",
            title="Decision: every rule",
            is_half=True,
            look=context.look("rules", "decide", hide=("decision",)),
            notes=True,
            lead=str(decided.rows[0]["reason"]),
        ),
        _profile(context, str(what.facts["profile"])),
    ]
    answers = {"describe": what, "decide": decided}
    if was_used:
        answers |= _use(context, number)
        sections += _used(context, answers)
    else:
        sections.append(Section("unused", "Use", lead="It was never visited: it acted on nothing."))
    sections += [
        section(
            decided,
            "attributes",
            title="What the policy saw",
            is_half=True,
            look=context.look("attributes", "decide", hide=("decision",)),
        ),
        section(
            what,
            "metadata",
            title="Rights and evidence: what is recorded",
            is_half=True,
            look=context.look(
                "metadata",
                "describe",
                link=lambda name, _, row: _kind(context, name, row),
            ),
        ),
    ]
    return Page(
        name="example",
        title=f"Example {number}",
        lead=_named(what),
        form=Form(
            context.path("example"),
            (Control("example", "example", "text", asked, hint="number, id, key or path"),),
            "Show",
        ),
        sections=tuple(sections),
        commands=(
            context.command("decide", number),
            context.command("follow", example=number),
            context.command("receipt", example=number),
        ),
        answers=answers,
    )


def _named(what: Answer) -> str:
    rows = {row["column"]: row["value"] for row in what.rows}
    names = ("path", "key", "url", "name")
    return inert(next((rows[name] for name in names if rows.get(name)), ""), 300)


def _kind(context: Context, name: str, row: Mapping[str, Any]) -> str | None:
    """Return where a value of metadata leads: to all examples that share it, if it says a kind."""
    value = str(row["value"])
    is_kind = name == "value" and len(value) <= _LONGEST_KIND and not _FIGURE.fullmatch(value)
    return context.lead(row["column"], row["value"], row) if is_kind and value else None


def _fact(context: Context, fact: Fact) -> Fact:
    href = context.lead(fact.name, fact.text, {}) if fact.text != "-" else None
    return Fact(fact.name.replace("_", " "), fact.text, href, fact.tone)


def _content(context: Context, what: Answer) -> Section:
    found = context.site.contents.find({row["column"]: row["value"] for row in what.rows})
    if not found.text:
        return Section("content", "Content", lead=f"Not shown: {found.origin}.", is_half=True)
    checked = "digest as recorded" if found.is_checked else "not checked against a digest"
    place = f", from line {found.first_line}" if found.first_line else ""
    return Section(
        "content",
        "Content",
        text=found.text,
        is_half=True,
        lead=f"{found.origin}{place}; {checked}. Shown as text, never executed.",
        tone="good" if found.is_checked else "warn",
    )


def _profile(context: Context, name: str) -> Section:
    weights = context.ledger.profiles.get(name)
    blocks = context.ledger.begin.blocks
    if weights is None:
        return Section(
            "profile", "Depth profile", is_half=True, lead="None: nothing of it may act."
        )
    table = Answer(
        question="profile", title="", kind="accounting", tables=(_weights(blocks, weights),)
    )
    return section(
        table,
        title=f"Depth profile: {name}",
        name="profile",
        is_half=True,
        look=context.look(bars=("weight",)),
        lead="weight of its gradient; 0 stops the direct gradient, other channels remain",
    )


def _weights(blocks: Sequence[str], weights: Sequence[float]) -> Table:
    columns = (Column("block", "block"), Column("weight", "weight", "number"))
    return Table("profile", "Depth profile", columns, tuple(zip(blocks, weights, strict=True)))


def _use(context: Context, number: int) -> dict[str, Answer]:
    return {
        "follow": context.ask("follow", number),
        "effects": context.ask("effects", number),
        "visits": context.ask("visits", number),
    }


def _used(context: Context, answers: dict[str, Answer]) -> list[Section]:
    follow = answers["follow"]
    found = [
        section(
            follow,
            "where",
            title="Influence by block",
            notes=True,
            is_half=True,
            look=context.look(
                "where", "follow", bars=("displacement", "energy"), hide=("gradient_norm",)
            ),
        ),
    ]
    if answers["effects"].rows:
        found.append(
            section(
                answers["effects"],
                title="Influence by capability",
                is_half=True,
                notes=True,
                look=context.look("effects", "effects", bars=("nats",)),
            )
        )
    found += [
        section(
            answers["visits"],
            title="Visits",
            look=context.look("visits", "visits", hide=("example",)),
            is_half=True,
        ),
        section(
            follow,
            "when",
            title="When it acted",
            is_half=True,
            look=context.look("when", "follow", bars=("energy",)),
            chart=Chart(
                "lines",
                "Energy share over steps",
                {"x": "last_step", "y": "energy", "label": "step", "zero": "yes"},
            ),
        ),
    ]
    return found


def receipt(context: Context) -> Page | Response:
    """Return the receipt of an example as a file, or why there is none."""
    number = context.arguments.number("example") or 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / f"receipt-{number}.json"
        try:
            context.ledger.receipt(number, out=place)
        except GradledgerError as error:
            return Page(
                name="receipt",
                title=f"No receipt for example {number}",
                sections=(
                    Section(
                        "why",
                        error.title,
                        lead=f"Observed {error.observed}; expected {error.expected}.",
                        tone="bad",
                        links=(("back to the example", context.link("example", example=number)),),
                    ),
                ),
                commands=(context.command("receipt", example=number),),
            )
        content = place.read_bytes()
    headers = {"content-disposition": f'attachment; filename="receipt-{number}.json"'}
    return Response(content, media_type="application/json", headers=headers)
