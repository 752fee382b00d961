"""What a run is and how it goes; fetched anew while it trains."""

from __future__ import annotations

from typing import Final

from gradledger.query import Answer
from gradledger.web.context import Context
from gradledger.web.page import Chart, Fact, Page, Section
from gradledger.web.show import facts, section

#: Facts of ``info`` that the page shows, in order.
_FACTS: Final = (
    "created",
    "closed",
    "recording level",
    "examples",
    "coverage",
    "policy",
    "optimizer",
    "opening balance",
    "final model state",
    "log",
    "resumes",
    "cut off or open",
    "displacement",
    "seeds",
    "environment",
    "directory",
    "notes",
)
_LIVE_SECONDS: Final = 2.0


def overview(context: Context) -> Page:
    """Return the overview of a run."""
    info = context.ask("info")
    progress = context.ask("progress", buckets=240)
    decisions = context.ask("decisions")
    is_open = context.ledger.end is None
    moved = context.ask("capabilities")
    sections = [
        Section(
            "state",
            "Training" if is_open else "The run",
            mark="exact",
            facts=(*facts(progress), *_integrity(context)),
            is_live=is_open,
            tone="bad" if progress.findings else "good",
        ),
        *_courses(context, progress, is_open=is_open),
        section(
            decisions,
            "decisions",
            title="Admitted and refused",
            is_half=True,
            look=context.look(
                "decisions", "decisions", bars=("visits",), hide=("policy", "reason", "profile")
            ),
            links=(
                ("every example", context.link("examples")),
                ("policies and rules", context.link("policies")),
            ),
        ),
    ]
    if moved.rows:
        sections.append(_behaviours(context, moved))
    sections += [
        section(
            info,
            "blocks",
            title="Blocks, from input to output",
            is_half=True,
            look=context.look("blocks", "info"),
            links=(("parameter map", context.link("matrix")),),
        ),
        Section(
            "record", "What was recorded", facts=facts(info, _FACTS), notes=info.notes, is_half=True
        ),
    ]
    return Page(
        name="overview",
        title=context.run.replace("~", "/"),
        lead=f"run {context.ledger.begin.run_id}",
        sections=tuple(sections),
        commands=(context.command("info"), context.command("steps")),
        answers={"progress": progress, "info": info, "decisions": decisions, "capabilities": moved},
        live_seconds=_LIVE_SECONDS if is_open else 0.0,
    )


def _courses(context: Context, progress: Answer, *, is_open: bool) -> list[Section]:
    """Return loss and balance over steps."""
    return [
        section(
            progress,
            title="Loss",
            name="loss",
            is_live=is_open,
            is_half=True,
            is_folded=True,
            chart=Chart(
                "lines",
                "Loss over steps",
                {"x": "last_step", "y": "loss", "unit": "nats", "label": "step"},
            ),
            look=context.look(
                "progress",
                "progress",
                only=("last_step", "loss", "visits", "examples_per_second", "sealed"),
            ),
        ),
        section(
            progress,
            title="Balance of the books",
            name="balance",
            is_live=is_open,
            is_half=True,
            is_folded=True,
            chart=Chart(
                "lines",
                "Largest residual over steps, as a share of all lines",
                {
                    "x": "last_step",
                    "y": "residual",
                    "scale": "log",
                    "unit": "residual",
                    "label": "step",
                },
            ),
            look=context.look(
                "progress",
                "progress",
                only=("last_step", "residual", "unbalanced", "record_percent"),
            ),
        ),
    ]


def _behaviours(context: Context, moved: Answer) -> Section:
    """Return how each behaviour moved."""
    return section(
        moved,
        title="Behaviours",
        name="behaviours",
        is_half=True,
        look=context.look(
            "capabilities",
            "capabilities",
            bars=("measured",),
            rename={"name": "capability"},
            only=("name", "before", "after", "measured", "visits"),
            link=lambda column, value, _: (
                context.link("capability", name=value) if column == "name" else None
            ),
        ),
        links=(("what moved them", context.link("capability")),),
    )


def _integrity(context: Context) -> tuple[Fact, ...]:
    """Return what is known of the run's integrity: the latest verification, or that none was."""
    done = context.site.work.pieces(context.site.desk.place(context.run), "verify")
    href = context.link("verify")
    for piece in done:
        if piece.result:
            tone = "good" if piece.result.get("clean") else "bad"
            return (Fact("integrity", str(piece.result["in_words"]), href, tone),)
    return (Fact("integrity", "not verified here yet", href, "warn"),)
