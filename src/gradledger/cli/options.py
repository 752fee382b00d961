"""Arguments and options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradledger.errors import QueryError

RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of the run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write the answer as JSON.")]
Start = Annotated[int | None, typer.Option("--start", metavar="STEP", help="First step.")]
Stop = Annotated[int | None, typer.Option("--stop", metavar="STEP", help="Last step, included.")]
Group = Annotated[
    str | None,
    typer.Option(
        "--group",
        "-g",
        metavar="PATTERN",
        help="Parameter groups: name, dotted prefix or glob of groups or blocks, with commas "
        "between several. Default: all parameters.",
    ),
]
Unit = Annotated[str, typer.Option("--by", metavar="UNIT", help="One row per: block | group.")]
Example = Annotated[
    str | None,
    typer.Option("--example", metavar="EXAMPLE", help="Number, id, key or path of an example."),
]
Source = Annotated[str | None, typer.Option("--source", metavar="TEXT", help="With this source.")]
License = Annotated[
    str | None, typer.Option("--license", metavar="TEXT", help="Under this license.")
]
ContentClass = Annotated[
    str | None, typer.Option("--class", metavar="NAME", help="Given this content class.")
]
Rule = Annotated[
    str | None, typer.Option("--rule", metavar="ID", help="Decided by this rule of the policy.")
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE",
        help="With this value in a metadata column, or as profile, policy or verdict; may be "
        "repeated. COLUMN>=VALUE and COLUMN<=VALUE are bounds; COLUMN= matches where nothing is "
        "recorded.",
    ),
]


def filters(
    where: list[str] | None,
    *,
    source: str | None = None,
    license: str | None = None,  # noqa: A002 - the name of the option
    content_class: str | None = None,
    rule: str | None = None,
) -> dict[str, str | None]:
    """Return the filters that were given, by name.

    Raises:
        QueryError: Q110 where ``--where`` has no equals sign or a name is given twice.
    """
    named: dict[str, str | None] = {
        name: value
        for name, value in (
            ("source", source),
            ("license", license),
            ("class", content_class),
            ("rule", rule),
        )
        if value is not None
    }
    for item in where or []:
        name, sign, value = item.partition("=")
        if name.endswith((">", "<")):
            name += sign
        if not sign or not name or name in named:
            raise QueryError(
                "Q110",
                observed=f"--where {item}",
                expected="COLUMN=VALUE, each column once",
                hint="for example --where language=python",
            )
        named[name] = value or None
    return named
