"""``gradledger states``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import show
from gradledger.ledger import open_ledger

NoCheck = Annotated[bool, typer.Option("--no-check", help="Do not digest the files again.")]
Thin = Annotated[
    bool, typer.Option("--thin", help="Remove states until a few are left; the log says which.")
]
Keep = Annotated[
    int,
    typer.Option(
        "--keep",
        metavar="N",
        help="With --thin: how many stay, evenly spread, besides those that something rests on.",
    ),
]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="With --thin: the key that signs the log."),
]


def states(
    run: RunDir,
    *,
    no_check: NoCheck = False,
    thin: Thin = False,
    keep: Keep = 3,
    key: Key = None,
    as_json: AsJson = False,
) -> int:
    """State: list the stored model states, with digests, sizes, and whether they still fit.

    Exits with 1 where a state is not as recorded. With --thin, remove some of them.
    """
    with open_ledger(run) as ledger:
        if thin:
            return show(ledger.thin_states(keep, key=key), as_json=as_json)
        return show(ledger.states(check=not no_check), as_json=as_json)
