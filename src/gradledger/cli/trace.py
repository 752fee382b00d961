"""``gradledger trace``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradledger.cli.options import AsJson, Group, RunDir, Start, Stop
from gradledger.cli.output import show
from gradledger.ledger import open_ledger
from gradledger.query import MEASURES, ORDERS

Measure = Annotated[
    str | None,
    typer.Option(
        "--measure",
        metavar="NAME",
        help=f"{' | '.join(MEASURES)}. Default: displacement where it was settled for exactly "
        "these steps, else energy.",
    ),
]
Key = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="COLUMN",
        help="example, class, rule, profile, policy, verdict or any metadata column, such as "
        "source or license.",
    ),
]
Top = Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows at most.")]
Order = Annotated[str, typer.Option("--order", metavar="NAME", help=f"{' | '.join(ORDERS)}.")]


def trace(
    run: RunDir,
    *,
    group: Group = None,
    start: Start = None,
    stop: Stop = None,
    measure: Measure = None,
    by: Key = "example",
    top: Top = 20,
    order: Order = "size",
    as_json: AsJson = False,
) -> int:
    """Backward: rank the examples, or kinds of examples, that moved parameter groups."""
    with open_ledger(run) as ledger:
        answer = ledger.trace(
            group, start=start, stop=stop, measure=measure, by=by, top=top, order=order
        )
        return show(answer, as_json=as_json)
