"""``gradledger serve``, and the questions that its pages ask besides: ``runs``, ``compare``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.loop import Settings as EntrySettings
from gradledger.cli.loop import TrustEntry, entry_arguments
from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import EXIT_CLEAN, say, show
from gradledger.errors import WebError
from gradledger.ledger import list_runs, open_ledger

Folder = Annotated[Path, typer.Argument(metavar="RUNS", help="Folder with runs, or one run.")]


def serve(
    folder: Folder,
    *,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", metavar="PORT", min=0, max=65535, help="Port; 0 takes a free one."),
    ] = 8765,
    content: Annotated[
        list[Path] | None,
        typer.Option(
            "--content",
            metavar="DIR",
            help="Folder with the files, wheels or zip archives that examples come from, to show "
            "their content; may be repeated.",
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            metavar="DIR",
            help="Folder for what pages start.  [default: .gradledger-work beside the runs]",
        ),
    ] = None,
    open_to_network: Annotated[
        bool,
        typer.Option("--open-to-network", help="Listen on an address that other machines reach."),
    ] = False,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="VKEY",
            help="Verifier key that logs must be signed by, or a file with it, for pages of "
            "verification; may be repeated.",
        ),
    ] = None,
    quorum: Annotated[
        Path | None,
        typer.Option(
            "--quorum", metavar="FILE", help="Which witnesses must have cosigned, for the same."
        ),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(
            "--witness",
            metavar="DIR|URL",
            help="Folder or URL of a witness that verification asks; may be repeated.",
        ),
    ] = None,
    trust_entry: TrustEntry = False,
    settings: EntrySettings = None,
) -> int:
    """Open every question as a page in a browser: on this machine, behind a token, read-only.

    Pages start replays, reports and verifications as processes of their own; nothing else is
    written. Needs gradledger[web].
    """
    try:
        web = importlib.import_module("gradledger.web.serve")
    except ModuleNotFoundError as missing:
        raise WebError(
            "W101",
            observed=f"no module named {missing.name}",
            expected="the packages of the extra 'web'",
            where="gradledger serve",
            hint="pip install 'gradledger[web]'",
        ) from missing
    web.serve(
        web.Settings(
            folder,
            host=host,
            port=port,
            work=work,
            content=tuple(content or ()),
            open_to_network=open_to_network,
            trust_entry=trust_entry,
            entry_arguments=entry_arguments(settings),
            keys=tuple(key or ()),
            quorum=quorum,
            witnesses=tuple(witness or ()),
        ),
        lambda address: say(f"open {address}\nstop with Ctrl-C"),
    )
    return EXIT_CLEAN


def runs(folder: Folder, *, as_json: AsJson = False) -> int:
    """List the runs of a folder: state, counts, balance, policy."""
    return show(list_runs(folder), as_json=as_json)


def compare(
    run: RunDir,
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="Directory of the other run.")],
    *,
    as_json: AsJson = False,
) -> int:
    """Compare two runs: what was set otherwise, how behaviours moved, which classes shaped them."""
    with open_ledger(run) as first, open_ledger(other) as second:
        return show(first.compare(second), as_json=as_json)
