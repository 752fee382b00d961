"""``gradledger states``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import show
from gradledger.ledger import open_ledger

NoCheck = Annotated[bool, typer.Option("--no-check", help="Do not digest the files again.")]


def states(run: RunDir, *, no_check: NoCheck = False, as_json: AsJson = False) -> int:
    """State: list the stored model states, with digests, sizes, and whether they still fit.

    Exits with 1 where a state is not as recorded.
    """
    with open_ledger(run) as ledger:
        return show(ledger.states(check=not no_check), as_json=as_json)
