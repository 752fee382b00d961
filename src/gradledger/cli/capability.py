"""``gradledger capability`` and ``gradledger policies``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradledger.cli.options import AsJson, Group, RunDir, Start, Stop
from gradledger.cli.output import show
from gradledger.ledger import open_ledger
from gradledger.query import ORDERS

Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="A probe of the run. Default: list them.")
]
Key = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="COLUMN",
        help="example, class, rule, profile, policy, any metadata column such as source or "
        "license, or block or group for parts of the model.",
    ),
]
Top = Annotated[int, typer.Option("--top", metavar="N", min=1, help="Rows at most.")]
Order = Annotated[str, typer.Option("--order", metavar="NAME", help=f"{' | '.join(ORDERS)}.")]
Capability = Annotated[
    str | None,
    typer.Option(
        "--capability", metavar="NAME", help="A probe. Default: the change of the parameters."
    ),
]


def capability(
    run: RunDir,
    name: Name = None,
    *,
    by: Key = "example",
    group: Group = None,
    start: Start = None,
    stop: Stop = None,
    top: Top = 20,
    order: Order = "size",
    as_json: AsJson = False,
) -> int:
    """Rank what moved a behaviour, in nats; without a name list the behaviours."""
    with open_ledger(run) as ledger:
        if name is None:
            return show(ledger.capabilities(), as_json=as_json)
        answer = ledger.capability(
            name, by=by, group=group, start=start, stop=stop, top=top, order=order
        )
        return show(answer, as_json=as_json)


def policies(
    run: RunDir,
    *,
    capability: Capability = None,
    group: Group = None,
    start: Start = None,
    stop: Stop = None,
    as_json: AsJson = False,
) -> int:
    """Show which policy, version and rule admitted what shaped a behaviour or parameters."""
    with open_ledger(run) as ledger:
        answer = ledger.policies(capability, group=group, start=start, stop=stop)
        return show(answer, as_json=as_json)
