"""``gradledger verify``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import EXIT_CLEAN, EXIT_FINDINGS, say, to_json
from gradledger.ledger import verify_run
from gradledger.query import inert
from gradledger.verify import OnProgress, Progress, untold

_LINE_WIDTH = 2000
_WHAT_WIDTH = 30

Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="VKEY",
        help="Verifier key that the log must be signed by, or a file with it; may be repeated.",
    ),
]
Quorum = Annotated[
    Path | None,
    typer.Option("--quorum", metavar="FILE", help="Which witnesses must have cosigned."),
]
Witness = Annotated[
    list[str] | None,
    typer.Option(
        "--witness",
        metavar="DIR|URL|FILE",
        help="Folder or URL of a witness, or a quorum policy with URLs: what each saw last must be "
        "part of the log; may be repeated. --key or --quorum has the key of a URL.",
    ),
]
Parent = Annotated[
    list[Path] | None,
    typer.Option(
        "--parent",
        metavar="RUN",
        help="Run that this one may be forked from; may be repeated.  [default: runs beside it]",
    ),
]
Step = Annotated[
    int | None, typer.Option("--step", metavar="STEP", help="Only the log and this step.")
]
Example = Annotated[
    int | None,
    typer.Option(
        "--example", metavar="NUMBER", help="Only the log, the files and this example's records."
    ),
]

AnswerFile = Annotated[
    Path | None,
    typer.Option(
        "--answer",
        metavar="FILE",
        help="An answer to a challenge: compare what was executed again with the record.",
    ),
]


Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        metavar="N",
        min=1,
        help="How many processes read files; the report is the same.  [default: one per core "
        "where there is enough to read]",
    ),
]


def verify(
    run: RunDir,
    *,
    key: Keys = None,
    quorum: Quorum = None,
    witness: Witness = None,
    parent: Parent = None,
    step: Step = None,
    example: Example = None,
    answer: AnswerFile = None,
    processes: Processes = None,
    as_json: AsJson = False,
) -> int:
    """Integrity: check the log, every file, and what the records say of each other.

    Recomputes root hashes, digests, sums and decisions; executes nothing and needs no torch.
    """
    with _progress(quiet=as_json) as tell:
        report = verify_run(
            run,
            key or (),
            quorum=quorum,
            witness=witness or (),
            parent=parent or (),
            step=step,
            example=example,
            answer=answer,
            processes=processes,
            on_progress=tell,
        )
    if as_json:
        sys.stdout.write(to_json(report.to_dict()) + "\n")
    else:
        lines = [report.in_words, *map(str, report.findings)]
        sys.stdout.write("\n".join(inert(line, _LINE_WIDTH) for line in lines) + "\n")
    if report.is_clean:
        return EXIT_CLEAN
    say("what each code means, and what to do next: docs/reference/findings.md", style="dim")
    return EXIT_FINDINGS


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[OnProgress]:
    """Draw a bar of the bytes that lie behind, on a terminal; elsewhere say nothing."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if quiet or not console.is_terminal:
        yield untold
        return
    columns = (
        TextColumn("verify {task.fields[what]:<30}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("verify", total=None, what="log")

        def tell(now: Progress) -> None:
            total = now.total_bytes or None
            what = inert(now.what, _WHAT_WIDTH)
            if total is None:
                bar.update(task, what=what)
            else:
                bar.update(task, what=what, completed=now.num_bytes, total=total)

        yield tell
