"""``gradledger whatif``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gradledger.cli.loop import Fresh, Settings, TrustEntry, entry_arguments
from gradledger.cli.options import (
    AsJson,
    ContentClass,
    Example,
    License,
    Rule,
    RunDir,
    Source,
    Unit,
    Where,
    filters,
)
from gradledger.cli.output import show
from gradledger.cli.progress import executing
from gradledger.errors import QueryError
from gradledger.ledger import open_ledger
from gradledger.query import HOW

How = Annotated[
    str,
    typer.Option(
        "--how",
        metavar="NAME",
        help=f"{' | '.join(HOW)}: execute the run again, or the estimate of the books alone.",
    ),
]
Nothing = Annotated[
    bool, typer.Option("--nothing", help="Change nothing: is the run the same bit for bit?")
]
Factor = Annotated[
    float | None,
    typer.Option("--factor", metavar="X", help="Multiply their weight by X instead of removing."),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Hold them to this profile of the run instead of removing; or one weight per block, "
        "with commas.",
    ),
]


def whatif(
    run: RunDir,
    *,
    example: Example = None,
    source: Source = None,
    license: License = None,  # noqa: A002 - the name of the option
    content_class: ContentClass = None,
    rule: Rule = None,
    where: Where = None,
    nothing: Nothing = False,
    factor: Factor = None,
    profile: Profile = None,
    how: How = "replay",
    by: Unit = "block",
    trust_entry: TrustEntry = False,
    settings: Settings = None,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> int:
    """Counterfactual: show what the model would be without examples, by executing the run again.

    The result is stored beside the run, in RUN.replays, and the same question is answered from
    there. Executing needs gradledger[train] and the training loop that the run names.
    """
    wanted: dict[str, Any] = dict(
        filters(where, source=source, license=license, content_class=content_class, rule=rule)
    )
    if example is not None:
        wanted["example"] = example
    if bool(wanted) == nothing:
        raise QueryError(
            "Q110",
            observed="a selection and --nothing" if nothing else "no selection",
            expected="filters for the examples that are removed, or --nothing",
            where="gradledger whatif",
        )
    if factor is not None and profile is not None:
        raise QueryError(
            "Q110", observed="--factor and --profile", expected="one of both", where="whatif"
        )
    is_removal = factor is None and profile is None
    with open_ledger(run) as ledger, executing() as advance:
        answer = ledger.whatif(
            remove=wanted if is_removal else None,
            reweight=wanted if factor is not None else None,
            factor=factor,
            reprofile=wanted if profile is not None else None,
            profile=_weights(profile) if profile else None,
            how=how,
            by=by,
            trust_entry=trust_entry,
            entry_arguments=entry_arguments(settings),
            fresh=fresh,
            progress=advance,
        )
    return show(answer, as_json=as_json)


def _weights(profile: str) -> str | list[float]:
    """Read a name, or weights with commas."""
    try:
        return [float(part) for part in profile.split(",")]
    except ValueError:
        return profile
