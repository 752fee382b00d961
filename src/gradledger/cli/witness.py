"""``gradledger witness``: keep the last size and root of logs, and cosign what extends them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.options import AsJson, RunDir
from gradledger.cli.output import EXIT_CLEAN, say, to_json
from gradledger.errors import QueryError
from gradledger.log import (
    Cosigner,
    DirectoryWitness,
    LogReader,
    QuorumPolicy,
    VerifierKey,
    WitnessService,
    cosign_log,
    is_url,
    load_key,
    witnesses_at,
)
from gradledger.query import inert

_LINE_WIDTH = 1000

Place = Annotated[
    str,
    typer.Argument(
        metavar="DIR|URL|FILE",
        help="Folder where the witness remembers, not below the run; URL of one that is served; "
        "or a quorum policy, whose witnesses with a URL are all asked.",
    ),
]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Where the witness remembers; not below a run.")
]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Key of a witness in a folder, from key generate."),
]
WitnessKey = Annotated[
    str | None,
    typer.Option("--witness-key", metavar="VKEY", help="Verifier key of the witness at a URL."),
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
    run: RunDir,
    place: Place,
    *,
    key: Key = None,
    witness_key: WitnessKey = None,
    log_key: LogKeys = None,
    as_json: AsJson = False,
) -> int:
    """Have the last checkpoint of a run cosigned, if it extends what the witness saw before.

    What was cosigned can no longer be cut or rewritten unseen: verify --witness compares.
    """
    asked: Sequence[Cosigner]
    if is_url(place) or Path(place).is_file():
        asked = witnesses_at(place, [VerifierKey.parse(witness_key)] if witness_key else ())
    else:
        asked = [_in_folder(run, Path(place), key, log_key or ())]
    head = None
    for witness in asked:
        head = cosign_log(run, witness)
        say(f"cosigned by {inert(witness.verifier.name)}", style="dim")
    if head is None:  # witnesses_at gives one or more
        return EXIT_CLEAN
    if as_json:
        record = {"origin": head.origin, "leaves": head.size, "root_hash": head.root.hex()}
        sys.stdout.write(to_json(record) + "\n")
    else:
        words = f"cosigned {head.origin}: {head.size} leaves, root hash {head.root.hex()}"
        sys.stdout.write(f"{inert(words, _LINE_WIDTH)}\n")
    return EXIT_CLEAN


def serve(
    folder: Folder,
    *,
    key: Annotated[
        Path, typer.Option("--key", metavar="FILE", help="Key of the witness, from key generate.")
    ],
    log_key: Annotated[
        list[str] | None,
        typer.Option(
            "--log-key",
            metavar="VKEY",
            help="Verifier key of a log, or of who signs logs: NAME vouches for NAME and NAME/RUN. "
            "May be repeated.",
        ),
    ] = None,
    logs: Annotated[
        Path | None,
        typer.Option("--logs", metavar="FILE", help="Quorum policy whose lines 'log' list keys."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", help="Port; 0 takes a free one.", min=0, max=65535)
    ] = 0,
) -> int:
    """Be a witness over HTTP (C2SP tlog-witness) until stopped: POST /add-checkpoint.

    Remembers the last size and root hash of each log, and cosigns only what extends them. Without
    --host only this machine can ask.
    """
    known = [VerifierKey.parse(text) for text in log_key or ()]
    known += QuorumPolicy.read(logs).logs if logs else ()
    if not known:
        raise QueryError(
            "Q110",
            observed="no key of a log",
            expected="--log-key VKEY or --logs FILE",
            where="witness serve",
            hint="ask the owner of the log for what key show prints",
        )
    witness = DirectoryWitness(folder, load_key(key), known)
    with WitnessService(witness, host, port) as service:
        sys.stdout.write(f"{service.url} {inert(str(witness.verifier), _LINE_WIDTH)}\n")
        sys.stdout.flush()
        try:
            service.serve_forever()
        except KeyboardInterrupt:
            say("stopped")
    return EXIT_CLEAN


def _in_folder(
    run: Path, folder: Path, key: Path | None, log_keys: Sequence[str]
) -> DirectoryWitness:
    if key is None:
        raise QueryError(
            "Q110",
            observed="no key of the witness",
            expected="--key FILE for a witness in a folder",
            where="witness cosign",
            hint="make one: gradledger key generate FILE --name NAME --for-witness",
        )
    reader = LogReader(run)
    given = [VerifierKey.parse(text).named(reader.origin) for text in log_keys]
    return DirectoryWitness(folder, load_key(key), given or reader.description.keys)


WITNESS_COMMANDS = (cosign, serve)
