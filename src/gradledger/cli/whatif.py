"""``gradledger whatif``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
from gradledger.errors import QueryError
from gradledger.ledger import open_ledger
from gradledger.query import HOW

How = Annotated[
    str,
    typer.Option(
        "--how",
        metavar="NAME",
        help=f"{' | '.join(HOW)}: execute the run again, the estimate of the books alone, or what "
        "the derivatives stored by influence foretell.",
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
TrustEntry = Annotated[
    bool,
    typer.Option(
        "--trust-entry",
        help="Import the training loop that the run names, which executes its code. Not needed "
        "for the demo's own.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Argument of the run's training loop, in place of the recorded one; may be repeated.",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Execute again although a result is stored.")]


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
    with open_ledger(run) as ledger, step_progress() as advance:
        answer = ledger.whatif(
            remove=wanted if is_removal else None,
            reweight=wanted if factor is not None else None,
            factor=factor,
            reprofile=wanted if profile is not None else None,
            profile=_weights(profile) if profile else None,
            how=how,
            by=by,
            trust_entry=trust_entry,
            entry_arguments=arguments_of(settings),
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


def arguments_of(settings: list[str] | None) -> dict[str, str]:
    """Return what ``--set`` gave, by name.

    Raises:
        QueryError: Q110 where an item is not NAME=VALUE or a name stands twice.
    """
    named: dict[str, str] = {}
    for item in settings or []:
        name, sign, value = item.partition("=")
        if not sign or not name.isidentifier() or name in named:
            raise QueryError(
                "Q110",
                observed=f"--set {item}",
                expected="NAME=VALUE, each name once",
                hint="for example --set cache=wheels",
            )
        named[name] = value
    return named


@contextmanager
def step_progress() -> Iterator[Callable[[int, int], None]]:
    """Draw a bar on stderr while a run is executed; nothing where nothing is."""
    console = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("executing"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    task = bar.add_task("steps", total=None, visible=False)

    def advance(step: int, num_steps: int) -> None:
        bar.update(task, completed=step, total=num_steps, visible=True)

    with bar:
        yield advance
