"""Behaviour: find a text among what was trained on, and the behaviours that the run measured."""

from __future__ import annotations

from collections.abc import Sequence

from gradledger.web.context import Context
from gradledger.web.page import Control, Form, Page, Section
from gradledger.web.show import Look, facts, section


def behaviour(context: Context) -> Page:
    """Return where a pasted text appears, and which examples are behind measured behaviours."""
    text = context.arguments.text("text", "") or ""
    columns = [name for name in ("text", "content") if name in context.ledger.keys]
    probes = context.ask("capabilities")
    parts = [_what_there_is(columns, has_probes=bool(probes.rows))]
    answers = {"capabilities": probes}
    if text and columns:
        found = context.ask("exclude", text=text, texts=columns[0])
        answers["exclude"] = found
        parts += [
            section(
                found,
                table.name,
                notes=place == 0,
                facts=facts(found) if place == 0 else (),
                look=context.look(table.name, "exclude"),
            )
            for place, table in enumerate(found.tables)
        ]
    if probes.rows:
        look: Look = context.look(
            "capabilities",
            "capabilities",
            bars=("measured",),
            rename={"name": "behaviour"},
            hide=("inputs_digest", "mode"),
            link=lambda column, value, _: (
                context.link("capability", name=value) if column == "name" else None
            ),
        )
        parts.append(
            section(
                probes,
                title="Behaviours that this run measured",
                notes=True,
                look=look,
                lead="choose one to see the examples behind it, in nats",
            )
        )
    return Page(
        name="behaviour",
        title="Behaviour",
        lead="which examples are behind an output",
        form=Form(
            context.path("behaviour"),
            (Control("text", "text", "lines", text, hint="paste an output of the model"),),
            "Find",
        )
        if columns
        else None,
        sections=tuple(parts),
        commands=(context.command("exclude", text="FILE"), context.command("capability")),
        answers=answers,
    )


def _what_there_is(columns: Sequence[str], *, has_probes: bool) -> Section:
    """Say plainly what this run can answer and what not."""
    notes = [
        (
            "blame for one pasted or generated text needs its gradient, which pages do not take: "
            "record the text as a probe, and settle the run"
        ),
    ]
    if columns:
        notes.append(
            f"texts of examples are in the metadata column {columns[0]}: text that is pasted is "
            "looked for there"
        )
    else:
        notes.append(
            "this run's metadata hold no text, so a pasted text cannot be looked for here; "
            "ledger.exclude(text=..., texts=...) does it with a function that gives the texts"
        )
    if not has_probes:
        notes.append("the run was recorded without probes: record with probes=[gl.Probe(...)]")
    return Section("available", "What this run can answer", notes=tuple(notes))
