"""``gradledger follow``."""

from __future__ import annotations

from gradledger.cli.options import (
    AsJson,
    ContentClass,
    Example,
    Group,
    License,
    Rule,
    RunDir,
    Source,
    Start,
    Stop,
    Unit,
    Where,
    filters,
)
from gradledger.cli.output import show
from gradledger.ledger import open_ledger


def follow(
    run: RunDir,
    *,
    example: Example = None,
    source: Source = None,
    license: License = None,  # noqa: A002 - the name of the option
    content_class: ContentClass = None,
    rule: Rule = None,
    where: Where = None,
    group: Group = None,
    start: Start = None,
    stop: Stop = None,
    by: Unit = "block",
    as_json: AsJson = False,
) -> int:
    """Forward: show what an example or a kind of examples changed: where, when, how much.

    Several filters must all hold.
    """
    wanted = filters(where, source=source, license=license, content_class=content_class, rule=rule)
    with open_ledger(run) as ledger:
        answer = ledger.follow(example, where=wanted, group=group, start=start, stop=stop, by=by)
        return show(answer, as_json=as_json)
