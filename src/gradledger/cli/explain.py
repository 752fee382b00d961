"""``gradledger explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradledger.cli.influence import Page, Removals, Stored
from gradledger.cli.loop import Fresh, Settings, TrustEntry, entry_arguments
from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import save_page, show
from gradledger.cli.progress import executing
from gradledger.ledger import open_ledger

Prompt = Annotated[str, typer.Argument(metavar="PROMPT", help="What the model is to continue.")]
Span = Annotated[int, typer.Option("--span", metavar="N", min=1, help="Pieces of a span.")]
By = Annotated[
    str, typer.Option("--by", metavar="KEY", help="What to rank: example, or a metadata column.")
]
Top = Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows per span and table.")]
Texts = Annotated[
    str | None,
    typer.Option(
        "--texts",
        metavar="COLUMN",
        help="Metadata column with the texts of examples; by default what the loop brings along.",
    ),
]


def explain(
    run: RunDir,
    prompt: Prompt,
    *,
    span: Span = 8,
    by: By = "example",
    top: Top = 5,
    texts: Texts = None,
    removals: Removals = 0,
    stored: Stored = False,
    fresh: Fresh = False,
    trust_entry: TrustEntry = False,
    settings: Settings = None,
    page: Page = None,
    as_json: AsJson = False,
) -> int:
    """Say which examples are behind a text that the model writes, span by span.

    The run is executed forwards and backwards once for all spans. How much of a span stands in an
    example letter for letter is a column of its own. The result is stored beside the run, in
    RUN.replays.
    """
    with open_ledger(run) as ledger, executing() as advance:
        answer = ledger.explain(
            prompt,
            span=span,
            by=by,
            top=top,
            texts=texts,
            removals=removals,
            stored=stored,
            fresh=fresh,
            trust_entry=trust_entry,
            entry_arguments=entry_arguments(settings),
            progress=advance,
        )
        save_page(ledger, answer, page)
    return show(answer, as_json=as_json)
