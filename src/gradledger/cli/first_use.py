"""``gradledger first-use``."""

from __future__ import annotations

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


def first_use(
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
    """Rights over time: show when examples first acted, and the last clean model state.

    Several filters must all hold.
    """
    wanted = filters(where, source=source, license=license, content_class=content_class, rule=rule)
    with open_ledger(run) as ledger:
        return show(ledger.first_use(example, where=wanted), as_json=as_json)
