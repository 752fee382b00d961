"""``gradledger progress``, ``examples``, ``describe``, ``visits`` and ``effects``."""

from __future__ import annotations

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
    Start,
    Stop,
    Where,
    filters,
)
from gradledger.cli.output import show
from gradledger.ledger import open_ledger


def progress(
    run: RunDir,
    *,
    buckets: Annotated[
        int, typer.Option("--buckets", metavar="N", help="Pieces of time at most.")
    ] = 20,
    as_json: AsJson = False,
) -> int:
    """Show how far a run is: loss, balance and pace, steps that are not sealed yet included."""
    with open_ledger(run) as ledger:
        return show(ledger.progress(buckets), as_json=as_json)


def examples(
    run: RunDir,
    *,
    where: Where = None,
    search: Annotated[
        str, typer.Option("--search", metavar="TEXT", help="Text in a metadata column or the id.")
    ] = "",
    top: Annotated[int, typer.Option("--top", metavar="N", help="Rows at most.")] = 50,
    skip: Annotated[int, typer.Option("--skip", metavar="N", help="Rows to leave out first.")] = 0,
    as_json: AsJson = False,
) -> int:
    """List examples, admitted or not, with their verdicts."""
    with open_ledger(run) as ledger:
        answer = ledger.examples(filters(where), search=search, top=top, skip=skip)
        return show(answer, as_json=as_json)


def describe(
    run: RunDir,
    example: Annotated[
        str, typer.Argument(metavar="EXAMPLE", help="Number, id, key or path of an example.")
    ],
    *,
    as_json: AsJson = False,
) -> int:
    """Show everything recorded about one example: identity, decision, metadata."""
    with open_ledger(run) as ledger:
        return show(ledger.describe(example), as_json=as_json)


def visits(
    run: RunDir,
    *,
    example: Example = None,
    source: Source = None,
    license: License = None,  # noqa: A002 - the name of the option
    content_class: ContentClass = None,
    rule: Rule = None,
    where: Where = None,
    start: Start = None,
    stop: Stop = None,
    as_json: AsJson = False,
) -> int:
    """List the visits of examples, in order: when each was used, under which decision."""
    wanted = filters(where, source=source, license=license, content_class=content_class, rule=rule)
    with open_ledger(run) as ledger:
        answer = ledger.visits(example, where=wanted, start=start, stop=stop)
        return show(answer, as_json=as_json)


def effects(
    run: RunDir,
    *,
    example: Example = None,
    source: Source = None,
    license: License = None,  # noqa: A002 - the name of the option
    content_class: ContentClass = None,
    rule: Rule = None,
    where: Where = None,
    as_json: AsJson = False,
) -> int:
    """Forward, in nats: what examples did to each behaviour."""
    wanted = filters(where, source=source, license=license, content_class=content_class, rule=rule)
    with open_ledger(run) as ledger:
        return show(ledger.effects(example, where=wanted), as_json=as_json)
