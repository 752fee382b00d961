"""``gradledger witness``: keep the last size and root of logs, and cosign what extends them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import EXIT_CLEAN, to_json
from gradledger.log import DirectoryWitness, LogReader, VerifierKey, cosign_log, load_key
from gradledger.query import inert

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Where the witness remembers; not below the run.")
]
Key = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="Key of the witness, from key generate.")
]
LogKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--log-key",
        metavar="VKEY",
        help="Verifier key of the log; may be repeated.  [default: those that the log names]",
    ),
]


def cosign(
    run: RunDir, folder: Folder, *, key: Key, log_key: LogKeys = None, as_json: AsJson = False
) -> int:
    """Cosign the last checkpoint of a run, if it extends what this witness saw before.

    What was cosigned can no longer be cut or rewritten unseen: verify --witness DIR compares.
    """
    reader = LogReader(run)
    given = [VerifierKey.parse(text) for text in log_key or ()]
    known = [item.named(reader.origin) for item in given] or list(reader.description.keys)
    head = cosign_log(run, DirectoryWitness(folder, load_key(key), known))
    if as_json:
        record = {"origin": head.origin, "leaves": head.size, "root_hash": head.root.hex()}
        sys.stdout.write(to_json(record) + "\n")
    else:
        words = f"cosigned {head.origin}: {head.size} leaves, root hash {head.root.hex()}"
        sys.stdout.write(f"{inert(words, 1000)}\n")
    return EXIT_CLEAN


WITNESS_COMMANDS = (cosign,)
