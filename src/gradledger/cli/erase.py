"""``gradledger erase``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gradledger.cli.evidence import Out, SigningFile
from gradledger.cli.loop import Command, Name, Settings, TrustEntry, entry_arguments
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
from gradledger.cli.output import EXIT_ERROR, say, show
from gradledger.cli.progress import executing
from gradledger.ledger import open_ledger


def erase(
    run: RunDir,
    command: Command = None,
    *,
    example: Example = None,
    source: Source = None,
    license: License = None,  # noqa: A002 - the name of the option
    content_class: ContentClass = None,
    rule: Rule = None,
    where: Where = None,
    reason: Annotated[
        str,
        typer.Option("--reason", metavar="TEXT", help="Why; stands in the log for good."),
    ] = "",
    reference: Annotated[
        str,
        typer.Option("--reference", metavar="TEXT", help="Number of the request elsewhere."),
    ] = "",
    key: SigningFile = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            "--also",
            metavar="RUN",
            help="Another run, or a folder of runs, to search for the same; may be repeated.",
        ),
    ] = None,
    remove_states: Annotated[
        bool,
        typer.Option(
            "--remove-states",
            help="Remove stored states and models that contain them; cannot be undone.",
        ),
    ] = False,
    no_deny: Annotated[
        bool,
        typer.Option("--no-deny", help="Do not put them on the list that later admissions deny."),
    ] = False,
    lists: Annotated[
        list[Path] | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="A further list that later admissions deny by, beside the one next to the run and "
            "those that GRADLEDGER_ERASED names; may be repeated.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before removing.")] = False,
    name: Name = None,
    trust_entry: TrustEntry = False,
    settings: Settings = None,
    out: Out = None,
    as_json: AsJson = False,
) -> int:
    """Erase: execute the run without examples, keep that model, and certify it in the log.

    The certificate names what was asked, from which step on the model is another, its digests, the
    change on probes, and what remains elsewhere. It is never issued for an estimate.
    """
    wanted: dict[str, Any] = dict(
        filters(where, source=source, license=license, content_class=content_class, rule=rule)
    )
    if example is not None:
        wanted["example"] = example
    if remove_states and not yes:
        question = "Remove every stored state and model that contains them, for good?"
        if not typer.confirm(question, default=False, err=True):
            say("nothing was erased")
            return EXIT_ERROR
    with open_ledger(run) as ledger, executing() as advance:
        answer = ledger.erase(
            wanted,
            reason=reason,
            reference=reference,
            key=key,
            also=also or (),
            remove_states=remove_states,
            deny=not no_deny,
            lists=lists or (),
            out=out,
            command=tuple(command or ()),
            name=name,
            trust_entry=trust_entry,
            entry_arguments=entry_arguments(settings),
            progress=advance,
        )
    return show(answer, as_json=as_json)
