"""Options that say what is executed: a script, the loop that a run names, or another function."""

from __future__ import annotations

from typing import Annotated

import typer

from gradledger.errors import QueryError

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
Entry = Annotated[
    str | None,
    typer.Option(
        "--loop",
        metavar="MODULE:FUNCTION",
        help="Execute what this function returns, (build, train), in place of what the run names.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help="Directory that the script records to, where its last part is not that of RUN.",
    ),
]
Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="-- COMMAND", help="The command that recorded the run, such as: python train.py"
    ),
]


def entry_arguments(settings: list[str] | None) -> dict[str, str]:
    """Return the arguments that ``--set`` gives.

    Raises:
        QueryError: One has another form, or a name comes twice. Code Q110.
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
