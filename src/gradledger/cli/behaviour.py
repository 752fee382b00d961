"""``gradledger behaviour``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gradledger.cli.capability import Key, Order, Top
from gradledger.cli.influence import Since
from gradledger.cli.loop import Settings, TrustEntry, entry_arguments
from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import say, show
from gradledger.cli.progress import executing
from gradledger.errors import QueryError
from gradledger.ledger import open_ledger
from gradledger.segment import cannot_read

TextFile = Annotated[
    Path | None, typer.Option("--text", metavar="FILE", help="File with the text.")
]
Prompt = Annotated[
    str | None,
    typer.Option("--prompt", metavar="TEXT", help="What the final model goes on from."),
]
Behind = Annotated[
    bool,
    typer.Option("--behind", help="Rank the examples behind it, by the derivative of the run."),
]
Span = Annotated[
    str | None,
    typer.Option("--span", metavar="FIRST:LAST", help="Only these pieces, from 0; with --behind."),
]


def behaviour(
    run: RunDir,
    *,
    text: TextFile = None,
    prompt: Prompt = None,
    behind: Behind = False,
    span: Span = None,
    by: Key = "example",
    top: Top = 20,
    order: Order = "negative",
    since: Since = 0,
    trust_entry: TrustEntry = False,
    settings: Settings = None,
    as_json: AsJson = False,
) -> int:
    """Behaviour: read a text with the final model, or let it write one; rank what is behind it.

    Needs gradledger[train] and a training loop that knows how texts come to its model.
    """
    if span is not None and not behind:
        raise QueryError(
            "Q110", observed="--span without --behind", expected="both", where="behaviour"
        )
    loop: dict[str, Any] = {
        "trust_entry": trust_entry,
        "entry_arguments": entry_arguments(settings),
    }
    with open_ledger(run) as ledger, executing() as advance:
        given = None if text is None else _read(text)
        if given is None or not behind:
            answer = ledger.behaviour(given, prompt=prompt, **loop)
            given = "".join(row["text"] for row in answer.table("pieces").records())
        if behind:
            answer = ledger.behind(
                given,
                span=None if span is None else _range(span),
                by=by,
                top=top,
                order=order,
                since=since,
                progress=advance,
                **loop,
            )
    if prompt is not None and behind:
        say(given)
    return show(answer, as_json=as_json)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise cannot_read(path, error) from error


def _range(span: str) -> tuple[int, int]:
    first, _, last = span.partition(":")
    if not (first.isdecimal() and last.isdecimal()):
        raise QueryError(
            "Q110", observed=f"--span {span}", expected="FIRST:LAST", where="behaviour"
        )
    return int(first), int(last)
