"""``gradledger timeline`` and ``gradledger matrix``: contributions in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.options import AsJson, Group, RunDir, Start, Stop
from gradledger.cli.output import save_picture, show
from gradledger.ledger import open_ledger

By = Annotated[
    str,
    typer.Option(
        "--by", metavar="KEY", help="class | rule | source | license | any metadata column."
    ),
]
Columns = Annotated[
    str,
    typer.Option(
        "--columns", metavar="KEY", help="class | rule | profile | source | any metadata column."
    ),
]
Rows = Annotated[str, typer.Option("--rows", metavar="UNIT", help="block | group.")]
Measure = Annotated[
    str | None, typer.Option("--measure", metavar="NAME", help="displacement | energy | norm.")
]
Windows = Annotated[int, typer.Option("--windows", metavar="N", help="Windows at most.")]
Top = Annotated[int, typer.Option("--top", metavar="N", help="Keys that stand alone.")]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Write a picture too: .png, .svg or .pdf."),
]


def timeline(
    run: RunDir,
    *,
    group: Group = None,
    by: By = "class",
    start: Start = None,
    stop: Stop = None,
    measure: Measure = None,
    windows: Windows = 20,
    top: Top = 7,
    plot: Plot = None,
    as_json: AsJson = False,
) -> int:
    """Show whose examples moved parameter groups, window of steps by window of steps."""
    with open_ledger(run) as ledger:
        answer = ledger.timeline(
            group, by=by, start=start, stop=stop, measure=measure, windows=windows, top=top
        )
    save_picture(answer, plot)
    return show(answer, as_json=as_json)


def matrix(
    run: RunDir,
    *,
    group: Group = None,
    rows: Rows = "block",
    columns: Columns = "class",
    start: Start = None,
    stop: Stop = None,
    measure: Measure = None,
    top: Top = 12,
    plot: Plot = None,
    as_json: AsJson = False,
) -> int:
    """Show which part of the model was moved by which kind of example, as a table of shares."""
    with open_ledger(run) as ledger:
        answer = ledger.matrix(
            group, rows=rows, columns=columns, start=start, stop=stop, measure=measure, top=top
        )
    save_picture(answer, plot)
    return show(answer, as_json=as_json)
