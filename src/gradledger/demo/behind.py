"""The demonstration's question on what is behind an output: a prediction, and its execution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from gradledger.demo.progress import StepProgress
from gradledger.demo.replay import training_loop
from gradledger.errors import ReplayError
from gradledger.ledger import Ledger
from gradledger.query import Answer
from gradledger.replay import RecordedRun

if TYPE_CHECKING:
    from gradledger.demo.main import Demonstration

#: Runs that are executed to say how far the derivative can be believed: only the spot check.
_REMOVALS: Final = 0


def since_step(run_dir: Path) -> int:
    """Return the step of the last stored state before the final one.

    Through more steps than a few dozen, training at such a rate has no derivative that foretells.
    """
    return RecordedRun(run_dir).stored_states()[-2]


def behind(ledger: Ledger, behaviour: str, done: Demonstration, console: Console) -> Answer | str:
    """Differentiate a behaviour through the run and rank packages; keep what fits a page.

    Where the run cannot be differentiated the refusal is the answer: it names the way on.
    """
    try:
        return _ranked(ledger, behaviour, done, console)
    except ReplayError as refusal:
        return f"no derivative through this run: {refusal}"


def _ranked(ledger: Ledger, behaviour: str, done: Demonstration, console: Console) -> Answer:
    loop, since = training_loop(done.training, done.data), since_step(done.run_dir)
    with StepProgress(console, "differentiating", done.summary["steps"]) as progress:
        answer = ledger.influence(
            {behaviour: loop.observables(())[behaviour]},
            by="package",
            top=5,
            order="negative",
            build=loop.build,
            train=loop.train,
            removals=_REMOVALS,
            since=since,
            progress=progress.count,
        )
    return replace(answer, tables=answer.tables[:1])
