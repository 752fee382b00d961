"""``gradledger key``: make a key that signs logs or cosigns them, show it, hand a log over."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import EXIT_CLEAN, to_json
from gradledger.log import (
    KEY_VARIABLE,
    KeyKind,
    SigningKey,
    load_key,
    rotate_log,
    save_key,
    signing_key,
)
from gradledger.query import inert

KeyFile = Annotated[Path, typer.Argument(metavar="FILE", help="The key file.")]
Name = Annotated[
    str,
    typer.Option(
        "--name", metavar="NAME", help="Who signs, in a form like example.org/lab; logs bear it."
    ),
]
ForWitness = Annotated[
    bool, typer.Option("--for-witness", help="A key that cosigns, in place of one that signs logs.")
]


def generate(
    file: KeyFile, *, name: Name, for_witness: ForWitness = False, as_json: AsJson = False
) -> int:
    """Make a key file that only its owner can read, and show the verifier key to publish."""
    kind = KeyKind.WITNESS if for_witness else KeyKind.LOG
    save_key(SigningKey.generate(name, kind), file)
    return _show(load_key(file), as_json=as_json)


def show(file: KeyFile, *, as_json: AsJson = False) -> int:
    """Show the verifier key of a key file; nothing secret is printed."""
    return _show(load_key(file), as_json=as_json)


def rotate(
    run: RunDir,
    *,
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="Key that signs the log from now on.")
    ],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help=f"Key that signs it now. Default: ${KEY_VARIABLE}."
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Hand the log of a run over to another key; both sign that, and readers may trust either.

    What the old key signed stays valid. If others hold it too, have the log witnessed first.
    """
    head = rotate_log(run, signing_key(key), load_key(to))
    verifier = str(load_key(to).named(head.origin).verifier)
    if as_json:
        record = {"origin": head.origin, "leaves": head.size, "verifier_key": verifier}
        sys.stdout.write(to_json(record) + "\n")
    else:
        words = f"{head.origin}: from leaf {head.size} on signed by {verifier}"
        sys.stdout.write(f"{inert(words, 1000)}\n")
    return EXIT_CLEAN


def _show(key: SigningKey, *, as_json: bool) -> int:
    if as_json:
        record = {"verifier_key": str(key.verifier), "name": key.name, "kind": key.kind.name}
        sys.stdout.write(to_json(record) + "\n")
    else:
        sys.stdout.write(f"{inert(str(key.verifier), 1000)}\n")
    return EXIT_CLEAN


KEY_COMMANDS = (generate, show, rotate)
