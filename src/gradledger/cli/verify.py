"""``gradledger verify``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import EXIT_CLEAN, EXIT_FINDINGS, say, to_json
from gradledger.ledger import verify_run
from gradledger.query import inert

_LINE_WIDTH = 2000

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
    list[Path] | None,
    typer.Option(
        "--witness",
        metavar="DIR",
        help="Folder of a witness: what it saw last must be part of the log; may be repeated.",
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


def verify(
    run: RunDir,
    *,
    key: Keys = None,
    quorum: Quorum = None,
    witness: Witness = None,
    step: Step = None,
    example: Example = None,
    answer: AnswerFile = None,
    as_json: AsJson = False,
) -> int:
    """Integrity: check the log, every file, and what the records say of each other.

    Recomputes root hashes, digests, sums and decisions; executes nothing and needs no torch.
    """
    with _progress() as tell:
        report = verify_run(
            run,
            key or (),
            quorum=quorum,
            witness=witness or (),
            step=step,
            example=example,
            answer=answer,
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
def _progress() -> Iterator[Callable[[str], None]]:
    """Say on a terminal what is checked; elsewhere say nothing."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("verify") as status:
        yield lambda name: status.update(f"verify: {inert(name, 80)}")
