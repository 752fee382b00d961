"""``gradledger exclude``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.options import (
    AsJson,
    ContentClass,
    Example,
    License,
    Rule,
    RunDir,
    Source,
    Where,
    filters,
)
from gradledger.cli.output import show
from gradledger.ledger import open_ledger

Content = Annotated[
    Path | None,
    typer.Option(
        "--content",
        metavar="FILE",
        help="A .safetensors, .npz or .npy file with one item as the data set yields it.",
    ),
]
Text = Annotated[
    Path | None,
    typer.Option(
        "--text", metavar="FILE", help="A text to list similar ones of, as candidates only."
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column", metavar="COLUMN", help="Metadata column with the texts of the examples."
    ),
]
Threshold = Annotated[
    float,
    typer.Option(
        "--threshold", metavar="PART", help="Smallest part in common of a candidate, up to 1."
    ),
]


def exclude(
    run: RunDir,
    *,
    content: Content = None,
    text: Text = None,
    text_column: TextColumn = None,
    threshold: Threshold = 0.5,
    example: Example = None,
    source: Source = None,
    license: License = None,  # noqa: A002 - the name of the option
    content_class: ContentClass = None,
    rule: Rule = None,
    where: Where = None,
    as_json: AsJson = False,
) -> int:
    """Exclusion: show whether content was presented, to which blocks, with which weight.

    Exits with 1 where something that was found was presented, or where it cannot be excluded.
    """
    wanted = filters(where, source=source, license=license, content_class=content_class, rule=rule)
    with open_ledger(run) as ledger:
        answer = ledger.exclude(
            example,
            content=content,
            text=text,
            texts=text_column,
            threshold=threshold,
            where=wanted,
        )
        return show(answer, as_json=as_json)
