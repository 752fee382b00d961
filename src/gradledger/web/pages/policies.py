"""Policies: which rule admitted what shaped the model, and the text that was in force."""

from __future__ import annotations

from gradledger.web.context import Context, choice
from gradledger.web.page import Form, Page, Section
from gradledger.web.show import facts, section


def policies(context: Context) -> Page:
    """Return the policies, versions and rules behind the model, or behind a capability."""
    names = [str(row["name"]) for row in context.ask("capabilities").rows]
    chosen = context.arguments.choice("capability", ("", *names), "") or None
    group = context.arguments.text("group")
    shaped = context.ask("policies", chosen, group=group, **context.span)
    decided = context.ask("decisions")
    parts = [
        section(
            shaped,
            table.name,
            is_half=place > 0,
            notes=place == 0,
            facts=facts(shaped) if place == 0 else (),
            look=context.look(table.name, "policies", bars=("share", "nats")),
        )
        for place, table in enumerate(shaped.tables)
    ]
    parts += [
        section(
            decided,
            "decisions",
            title="What was admitted and what was refused",
            notes=True,
            look=context.look("decisions", "decisions", bars=("visits",)),
        ),
        section(
            decided,
            "reasons",
            title="Why",
            look=context.look("reasons", "decisions"),
            links=(("what another policy would have changed", context.link("whatif")),),
        ),
    ]
    parts += _texts(context)
    return Page(
        name="policies",
        title="Policies" + (f" behind {chosen}" if chosen else ""),
        lead="which policy, version and rule admitted what shaped the model",
        form=Form(
            context.path("policies"),
            (
                choice("capability", "capability", ["", *names], chosen or ""),
                context.group_control(),
                *context.span_controls(),
            ),
            "Show",
        ),
        sections=tuple(parts),
        commands=(
            context.command("policies", capability=chosen, group=group, **context.span),
            context.command("decide"),
        ),
        answers={"policies": shaped, "decisions": decided},
    )


def _texts(context: Context) -> list[Section]:
    """Return the texts of the policies in force, as they lie in the run."""
    folder = context.site.desk.place(context.run) / "policies"
    found = []
    for place in sorted(folder.glob("*.yaml")) if folder.is_dir() else []:
        text = place.read_text(encoding="utf-8", errors="replace")[:200_000]
        found.append(
            Section(
                f"text-{place.stem[:12]}",
                "Text of the policy",
                text=text,
                lead=f"SHA-256 {place.stem}",
            )
        )
    return found
