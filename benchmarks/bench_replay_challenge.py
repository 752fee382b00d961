"""Every planted fraud is found when its step is drawn.

Caveat: four kinds of fraud in one step of a small run, by somebody who holds the key and writes
what they like while the run is recorded; the auditor has the honest script, the data, the states.
Draws are repeated until the step is among the drawn ones; a draw without it proves nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmarks.figure import Figure

from gradledger.ledger import verify_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "unit" / "replay"))


def measure() -> list[Figure]:
    """Record every fraud several times, draw until it is hit, and verify the answer."""
    torch.set_num_threads(1)
    cases: Any = import_module("test_challenge")

    hits = found = false_alarms = 0
    with TemporaryDirectory() as folder:
        for number, fraud in enumerate((*cases.FRAUDS, None)):
            run = cases.recorded(Path(folder) / str(number) / "run", fraud)
            for answer in _hits(cases, run, 3):
                codes = {item.code for item in verify_run(run, answer=answer).findings}
                accused = any(code.startswith("V87") for code in codes)
                if fraud is None:
                    false_alarms += accused
                else:
                    hits += 1
                    found += accused
    return [
        Figure(
            "replay.challenge",
            100 * found / hits,
            "%",
            "equal",
            100.0,
            caveat=f"{hits} drawn steps with a fraud of {len(cases.FRAUDS)} kinds",
        ),
        Figure(
            "replay.challenge_false_alarms",
            float(false_alarms),
            "count",
            "equal",
            0.0,
            caveat="honest run, 3 draws",
        ),
    ]


def _hits(cases: Any, run: Path, wanted: int) -> list[Path]:
    """Return answers to draws that hit the step of the fraud."""
    answers: list[Path] = []
    for number in count():
        answer = cases.answered(run, f"seed {number}", 2)
        if cases.FRAUD_AT in cases.drawn(answer):
            answers.append(answer)
        if len(answers) == wanted:
            return answers
    return answers
