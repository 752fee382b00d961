"""``gradledger demo``: only dispatches, so that the other commands need no torch."""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from gradledger.cli.options import AsJson
from gradledger.cli.output import to_json
from gradledger.errors import QueryError

Size = Annotated[str, typer.Option("--size", metavar="NAME", help="tiny | small | medium.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Directory of the run.  [default: runs/demo-SIZE]"),
]


def demo(*, size: Size = "small", out: Out = None, as_json: AsJson = False) -> int:
    """Train a small code model with every step booked, then question it.

    Needs gradledger[demo]. With --json progress goes to stderr.
    """
    try:
        main = importlib.import_module("gradledger.demo.main")
    except ModuleNotFoundError as missing:
        raise QueryError(
            "Q109",
            observed=f"no module named {missing.name}",
            expected="the packages of the extra 'demo'",
            where="gradledger demo",
            hint="pip install 'gradledger[demo]'",
        ) from missing
    if not as_json:
        return int(main.run(size=size, out=out) or 0)
    with contextlib.redirect_stdout(sys.stderr):
        code = int(main.run(size=size, out=out) or 0)
    run_dir = str(out or main.default_run_dir(size))
    sys.stdout.write(to_json({"run": run_dir, "size": size, "exit_code": code}) + "\n")
    return code
