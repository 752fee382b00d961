"""``gradledger settle``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.loop import Command, Entry, Name, Settings, TrustEntry, entry_arguments
from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import show
from gradledger.cli.progress import executing
from gradledger.errors import QueryError
from gradledger.ledger import open_ledger

Interval = Annotated[
    list[str] | None,
    typer.Option(
        "--interval",
        metavar="START:STOP",
        help="Between two stored steps; may be repeated. Default: the whole run.",
    ),
]
Measure = Annotated[
    str,
    typer.Option(
        "--measure",
        metavar="NAME",
        help="displacement: each gradient is booked when it is incurred, at that day's rates. "
        "frozen: it is carried on by later steps as they really went (the adjoint with curvature "
        "frozen); every step is executed twice.",
    ),
]
Key = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The key that signs the log.")
]


def settle(
    run: RunDir,
    command: Command = None,
    *,
    interval: Interval = None,
    measure: Measure = "displacement",
    key: Key = None,
    entry: Entry = None,
    name: Name = None,
    trust_entry: TrustEntry = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Accounting: execute a run once more and book what each visit did over whole intervals.

    Adds the tables of displacement to the run, and those of its probes where the loop brings them
    along; or those of the second measure. trace --measure NAME and follow show both. A pass that
    was killed goes on where it was.
    """
    with open_ledger(run) as ledger, executing() as advance:
        answer = ledger.settle(
            _pairs(interval),
            measure=measure,
            key=key,
            progress=advance,
            command=tuple(command or ()),
            name=name,
            entry=entry,
            trust_entry=trust_entry,
            entry_arguments=entry_arguments(settings),
        )
    return show(answer, as_json=as_json)


def _pairs(intervals: list[str] | None) -> list[tuple[int, int]] | None:
    if not intervals:
        return None
    pairs = []
    for text in intervals:
        start, _, stop = text.partition(":")
        if not (start.isdecimal() and stop.isdecimal() and int(start) < int(stop)):
            raise QueryError(
                "Q110",
                observed=f"--interval {text}",
                expected="START:STOP, two steps, the earlier first",
                where="settle",
            )
        pairs.append((int(start), int(stop)))
    return pairs
