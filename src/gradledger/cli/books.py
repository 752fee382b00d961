"""``gradledger books``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradledger.cli.options import AsJson, Group, RunDir, Start, Stop, Unit
from gradledger.cli.output import show
from gradledger.ledger import open_ledger

Step = Annotated[int | None, typer.Option("--step", metavar="STEP", help="Only this step.")]


def books(
    run: RunDir,
    *,
    group: Group = None,
    start: Start = None,
    stop: Stop = None,
    step: Step = None,
    by: Unit = "block",
    as_json: AsJson = False,
) -> int:
    """Show every line of the books, whether they balance, and who owns the change.

    Exits with 1 where a step of these groups is unbalanced or not finite.
    """
    with open_ledger(run) as ledger:
        answer = ledger.books(group, start=start, stop=stop, step=step, by=by)
        return show(answer, as_json=as_json)
