"""Each question about the demonstration is answered within a second, opening the ledger included.

Caveat: the run of size small, 1,920 visits in 39 groups, files in the page cache; an executed
replay is training, not a question, and is left out. Each time is the median of three answers, and
each answer opens the ledger anew and is rendered as a table. Reports are pages over everything and
verify the log first; they have a figure of their own, which ends with the page as text. A process
of the command line adds the start of Python to it, measured here once as the smallest command.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch
from benchmarks.figure import Figure, middle, timed
from rich.console import Console

from gradledger.demo.main import demonstrate
from gradledger.demo.manifest import default_cache
from gradledger.ledger import Ledger, open_ledger

Question = Callable[[Ledger], object]

QUESTIONS: Final[dict[str, Question]] = {
    "info": lambda ledger: ledger.info(),
    "orphans": lambda ledger: ledger.orphans(),
    "steps": lambda ledger: ledger.steps(),
    "books": lambda ledger: ledger.books(),
    "trace by example": lambda ledger: ledger.trace(group="model.layers.2", top=20),
    "trace by source, energy": lambda ledger: ledger.trace(by="source", measure="energy"),
    "follow a package": lambda ledger: ledger.follow(where={"package": "packaging"}),
    "decide one": lambda ledger: ledger.decide(0),
    "decisions": lambda ledger: ledger.decisions(),
    "capabilities": lambda ledger: ledger.capabilities(),
    "capability": lambda ledger: ledger.capability("docstrings", by="example"),
    "policies": lambda ledger: ledger.policies("docstrings"),
    "exclude": lambda ledger: ledger.exclude(content=np.arange(128)),
    "states": lambda ledger: ledger.states(),
    "diff": lambda ledger: ledger.diff(0, 240),
    "first-use": lambda ledger: ledger.first_use(where={"package": "packaging"}),
    "timeline": lambda ledger: ledger.timeline(by="class"),
    "matrix": lambda ledger: ledger.matrix(columns="class"),
    "whatif, ledger": lambda ledger: ledger.whatif({"package": "packaging"}, how="ledger"),
}

#: Pages over the whole run, which verify a signed log first.
REPORTS: Final[dict[str, Question]] = {
    "report rights": lambda ledger: len(ledger.report("rights").to_html()),
    "report safety": lambda ledger: len(ledger.report("safety").to_html()),
}


def measure() -> list[Figure]:
    """Run the demonstration, ask everything, and keep the slowest answer."""
    with TemporaryDirectory() as folder:
        quiet = Console(quiet=True)
        run_dir = demonstrate(
            "small", Path(folder) / "run", default_cache(), torch.float32, quiet
        ).run_dir
        seconds = {
            name: middle(timed(partial(_answer, run_dir, ask), repeats=3))
            for name, ask in {**QUESTIONS, **REPORTS}.items()
        }
        command = [sys.executable, "-m", "gradledger.cli.main", "info", str(run_dir)]
        start, start_spread = middle(
            timed(lambda: subprocess.run(command, check=True, capture_output=True), repeats=3)
        )
    slowest = max(QUESTIONS, key=lambda name: seconds[name][0])
    value, spread = seconds[slowest]
    page = max(REPORTS, key=lambda name: seconds[name][0])
    return [
        Figure(
            "story.question_seconds",
            value,
            "seconds",
            bar=1.0,
            spread=spread,
            caveat=f"slowest of {len(QUESTIONS)} questions on the small demonstration: {slowest}",
        ),
        Figure(
            "story.demo_report_seconds",
            seconds[page][0],
            "seconds",
            bar=1.0,
            spread=seconds[page][1],
            caveat=f"slower of {len(REPORTS)}, the signed log verified first: {page}",
        ),
        Figure(
            "story.command_seconds",
            start,
            "seconds",
            spread=start_spread,
            caveat="`gradledger info` as a process, start of Python included",
        ),
    ]


def _answer(run_dir: Path, ask: Question) -> None:
    with open_ledger(run_dir) as ledger:
        Console(quiet=True, width=120).print(ask(ledger))
