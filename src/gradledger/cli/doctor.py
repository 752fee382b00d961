"""``gradledger doctor``: starts a process that may use torch; this one needs none."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from gradledger.cli.options import AsJson
from gradledger.cli.output import show
from gradledger.errors import InputError, QueryError
from gradledger.query import answer_from_json

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="A training script that calls gl.record, or package.module:function, which returns "
        "(model, optimizer) or (model, optimizer, batch, loss).",
    ),
]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[-- ARGUMENTS...]", help="Arguments of the script."),
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", metavar="N", min=1, help="Steps of the whole run, for its size."),
]
Rounds = Annotated[
    int, typer.Option("--rounds", metavar="N", min=1, help="Steps that are measured of each kind.")
]


def doctor(
    target: Target,
    arguments: Arguments = None,
    *,
    steps: Steps = None,
    rounds: Rounds = 8,
    as_json: AsJson = False,
) -> int:
    """Examine a training script or a model before the first step; train and write nothing.

    Says what is captured and what is not, what recording would refuse, what it costs, and what to
    do next. A script runs until its first recorded update and is stopped there; what it prints
    goes to stderr. Exits with 1 where something was found and with 2 where it could not look.
    """
    if importlib.util.find_spec("torch") is None:
        raise QueryError(
            "Q109",
            observed="no module named torch",
            expected="the packages of the extra 'train'",
            where="gradledger doctor",
            hint="pip install 'gradledger[train]'",
        )
    is_script = target.endswith(".py") or Path(target).is_file() or ":" not in target
    with tempfile.TemporaryDirectory(prefix="gradledger-doctor-") as folder:
        outcome = Path(folder) / "outcome.json"
        request = {
            "target": target,
            "arguments": arguments or [],
            "is_script": is_script,
            "folder": folder,
            "outcome": str(outcome),
            "steps": steps,
            "rounds": rounds,
        }
        status = _run(request)
        record = json.loads(outcome.read_text("utf-8")) if outcome.is_file() else None
    if record is None:
        raise InputError(
            "I141",
            observed=f"a process that ended with status {status}",
            expected="an answer",
            where=target,
            hint="run the script by itself first",
        )
    if "error" in record:
        parts: dict[str, Any] = record["error"]
        parts.pop("title")
        raise InputError(parts.pop("code"), **parts)
    return show(answer_from_json(record["answer"]), as_json=as_json)


def _run(request: dict[str, Any]) -> int:
    """Run the examination in a process of its own; its stdout goes to our stderr."""
    sys.stderr.flush()
    process = subprocess.run(  # noqa: S603 - this program, without a shell
        [sys.executable, "-m", "gradledger.examine", json.dumps(request)],
        env={**os.environ, "GRADLEDGER_DOCTOR": "1"},
        stdout=2,
        check=False,
    )
    return process.returncode
