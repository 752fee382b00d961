"""``gradledger challenge`` and ``gradledger answer``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.loop import Command, Entry, Name, Settings, TrustEntry, entry_arguments
from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import show
from gradledger.cli.progress import executing
from gradledger.ledger import open_ledger

Seed = Annotated[
    str,
    typer.Option(
        "--seed", metavar="TEXT", help="Chosen by the auditor after the checkpoint was signed."
    ),
]
Steps = Annotated[int, typer.Option("--steps", metavar="N", help="How many steps are drawn.")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="By default in the current folder.")
]
Challenge = Annotated[Path, typer.Argument(metavar="CHALLENGE", help="File of the challenge.")]


def challenge(
    run: RunDir, *, seed: Seed, steps: Steps, out: Out = None, as_json: AsJson = False
) -> int:
    """Integrity: draw steps to be executed again, from an auditor's seed and the log.

    Prints how likely they find a fraud that touches a given share of the steps.
    """
    with open_ledger(run) as ledger:
        return show(ledger.challenge(seed, steps, out=out), as_json=as_json)


def answer(
    run: RunDir,
    challenge: Challenge,
    command: Command = None,
    *,
    out: Out = None,
    entry: Entry = None,
    name: Name = None,
    trust_entry: TrustEntry = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Integrity: execute drawn steps again, and write down states and booked contributions.

    With a command behind ``--`` the script itself is executed; see replay. The answer is compared
    with the record by verify --answer.
    """
    with open_ledger(run) as ledger, executing() as advance:
        found = ledger.answer(
            challenge,
            out=out,
            progress=advance,
            command=tuple(command or ()),
            name=name,
            entry=entry,
            trust_entry=trust_entry,
            entry_arguments=entry_arguments(settings),
        )
    return show(found, as_json=as_json)
