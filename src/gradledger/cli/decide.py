"""``gradledger decide``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradledger.cli.options import (
    AsJson,
    ContentClass,
    License,
    Rule,
    RunDir,
    Source,
    Where,
    filters,
)
from gradledger.cli.output import show
from gradledger.ledger import open_ledger

Example = Annotated[
    str | None,
    typer.Argument(metavar="[EXAMPLE]", help="Number, id, key or path of an example."),
]


def decide(
    run: RunDir,
    example: Example = None,
    *,
    source: Source = None,
    license: License = None,  # noqa: A002 - the name of the option
    content_class: ContentClass = None,
    rule: Rule = None,
    where: Where = None,
    as_json: AsJson = False,
) -> int:
    """Show why examples were admitted or not: verdict, policy and the truth of every rule.

    Without an example or a filter: what was admitted, what was refused and why.
    """
    wanted = filters(where, source=source, license=license, content_class=content_class, rule=rule)
    with open_ledger(run) as ledger:
        return show(ledger.decide(example, where=wanted), as_json=as_json)
