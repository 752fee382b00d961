"""``gradledger replay``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradledger.cli.loop import (
    Command,
    Entry,
    Fresh,
    Name,
    Settings,
    TrustEntry,
    entry_arguments,
)
from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import show
from gradledger.cli.progress import executing
from gradledger.ledger import open_ledger

From = Annotated[
    int | None,
    typer.Option(
        "--from",
        metavar="STEP",
        help="Begin with the model state stored after this step; 0 is the opening.",
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        "--tolerance",
        metavar="X",
        help="Go on behind the first difference while groups stay nearer than this to the recorded "
        "ones, relative to their displacement, and say what still holds.",
    ),
]


def replay(
    run: RunDir,
    command: Command = None,
    *,
    start: From = None,
    tolerance: Tolerance = None,
    entry: Entry = None,
    name: Name = None,
    trust_entry: TrustEntry = False,
    settings: Settings = None,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> int:
    """Truth: execute a run again, step by step, and compare every state bit for bit.

    With a command behind ``--`` the script itself is executed, in a process of its own, until it
    closes its run. Without one, the loop that the run names, or that of --loop.
    """
    with open_ledger(run) as ledger, executing() as advance:
        answer = ledger.replay(
            start=start,
            tolerance=tolerance,
            fresh=fresh,
            progress=advance,
            command=tuple(command or ()),
            name=name,
            entry=entry,
            trust_entry=trust_entry,
            entry_arguments=entry_arguments(settings),
        )
    return show(answer, as_json=as_json)
