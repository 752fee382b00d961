"""``gradledger influence``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.capability import Key, Order, Top
from gradledger.cli.loop import Fresh, Settings, TrustEntry, entry_arguments
from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import save_page, show
from gradledger.cli.progress import executing
from gradledger.ledger import open_ledger

Behaviour = Annotated[
    str, typer.Argument(metavar="NAME", help="A probe, or a figure of the run's training loop.")
]
Removals = Annotated[
    int,
    typer.Option(
        "--removals",
        metavar="N",
        min=0,
        help="Removals that are executed to see whether the derivative can be believed.",
    ),
]
Since = Annotated[
    int,
    typer.Option(
        "--since",
        metavar="STEP",
        min=0,
        help="Ask only what came after the model state that is stored after this step.",
    ),
]
Minus = Annotated[
    str | None,
    typer.Option(
        "--minus", metavar="NAME", help="What is behind the difference to this one: NAME minus it."
    ),
]
Within = Annotated[
    float | None,
    typer.Option(
        "--within",
        metavar="SECONDS",
        min=0.0,
        help="Where the derivative is not reliable: execute removals of those ranked first, while "
        "all of it fits into this time.",
    ),
]
Page = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write the answer as one self-contained page too."),
]
Stored = Annotated[
    bool, typer.Option("--stored", help="Answer from stored derivatives; execute nothing.")
]


def influence(
    run: RunDir,
    behaviour: Behaviour,
    *,
    minus: Minus = None,
    by: Key = "example",
    top: Top = 20,
    order: Order = "size",
    removals: Removals = 4,
    since: Since = 0,
    within: Within = None,
    stored: Stored = False,
    fresh: Fresh = False,
    trust_entry: TrustEntry = False,
    settings: Settings = None,
    page: Page = None,
    as_json: AsJson = False,
) -> int:
    """Rank the examples behind a behaviour, by the derivative through the recorded run.

    The run is executed forwards and backwards, and a few times with other weights to say how far
    the derivative can be believed. The result is stored beside the run, in RUN.replays.
    """
    with open_ledger(run) as ledger, executing() as advance:
        answer = ledger.influence(
            behaviour,
            minus=minus,
            by=by,
            top=top,
            order=order,
            removals=removals,
            since=since,
            within_seconds=within,
            stored=stored,
            fresh=fresh,
            trust_entry=trust_entry,
            entry_arguments=entry_arguments(settings),
            progress=advance,
        )
        save_page(ledger, answer, page)
    return show(answer, as_json=as_json)
