"""``gradledger diff``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradledger.cli.options import AsJson, RunDir, Unit
from gradledger.cli.output import show
from gradledger.ledger import open_ledger

Earlier = Annotated[int, typer.Argument(metavar="A", help="The earlier step; 0: the opening.")]
Later = Annotated[int, typer.Argument(metavar="B", help="The later step.")]
Who = Annotated[
    str | None,
    typer.Option(
        "--who",
        metavar="COLUMN",
        help="Name the movers by this column, as --by of trace. Default: source, else class.",
    ),
]


def diff(
    run: RunDir,
    start: Earlier,
    stop: Later,
    *,
    by: Unit = "block",
    who: Who = None,
    as_json: AsJson = False,
) -> int:
    """State: compare the model after step A with the model after step B, and name who moved it.

    Distances need stored states at both ends; otherwise the books say how far the steps went.
    """
    with open_ledger(run) as ledger:
        return show(ledger.diff(start, stop, by=by, who=who), as_json=as_json)
