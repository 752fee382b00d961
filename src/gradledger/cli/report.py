"""``gradledger report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import EXIT_CLEAN, EXIT_FINDINGS, say
from gradledger.errors import QueryError
from gradledger.ledger import open_ledger
from gradledger.query import inert
from gradledger.report import Violation, parse_gate

Kind = Annotated[str, typer.Argument(metavar="KIND", help="rights | safety.")]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Where to write it; - is stdout.  [default: RUN.KIND.FORMAT beside the run]",
    ),
]
Form = Annotated[str, typer.Option("--format", metavar="NAME", help="html | json.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        help="Judge rights as of this date or moment, ISO 8601.  [default: close of the run]",
    ),
]
FailOn = Annotated[
    str | None,
    typer.Option(
        "--fail-on",
        metavar="CONDITIONS",
        help="Exit with 1 where one of these holds: NAME, then > >= < <= = or !=, then a number or "
        "a percentage; commas between. For example unknown>5%,unbalanced>0.",
    ),
]


def report(
    kind: Kind,
    run: RunDir,
    *,
    out: Out = None,
    form: Form = "html",
    as_of: AsOf = None,
    fail_on: FailOn = None,
    as_json: AsJson = False,
) -> int:
    """Write an audit report on a run: one file that loads nothing, runs nothing and prints well.

    Says where it wrote it, and the verdicts. --json writes the report as JSON to stdout.
    """
    if fail_on is not None:
        parse_gate(fail_on)  # A gate that cannot be read must not leave a report behind.
    if as_json and (out is not None or form != "html"):
        raise QueryError(
            "Q110",
            observed="--json with --out or --format",
            expected="--json alone, or --format json --out FILE",
        )
    with open_ledger(run) as ledger:
        made = ledger.report(kind, as_of=as_of)
        broken = made.check(fail_on) if fail_on is not None else ()
        if as_json or out == "-":
            sys.stdout.write(made.render("json" if as_json else form))
        else:
            place = made.write(out, form)
            sys.stdout.write(f"{made}\nwritten to {inert(_short(place), 400)}\n")
    return _gate(broken)


def _short(place: Path) -> Path:
    """Return a place as seen from the working directory, where it lies below."""
    here = Path.cwd()
    return place.relative_to(here) if here in place.parents else place


def _gate(broken: tuple[Violation, ...]) -> int:
    """Tell every violation on stderr and return the exit code."""
    for violation in broken:
        say(f"violated: {inert(violation, 400)}")
    return EXIT_FINDINGS if broken else EXIT_CLEAN
