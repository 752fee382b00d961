"""A script of about 60 lines is replayed without a change, bit for bit.

Caveat: one script: own loop, DataLoader with two worker processes, augmentation with the random
numbers of Python, NumPy and torch, dropout, cosine schedule, accumulation of two micro-batches, an
odd batch at the end of every epoch. It is started by its own command, with another seed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figure import Figure

from gradledger.ledger import open_ledger

SCRIPT = (
    Path(__file__).resolve().parents[1] / "tests" / "unit" / "replay" / "scripts" / "foreign.py"
)


def measure() -> list[Figure]:
    """Record the script, replay it from every stored state, count differing steps."""
    lines = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line.strip()]
    differing = 0
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        subprocess.run([sys.executable, SCRIPT, run_dir], check=True, stdout=2)
        with open_ledger(run_dir) as ledger:
            starts = [row["step"] for row in ledger.states(check=False).rows][:-1]
            for start in starts:
                answer = ledger.replay(
                    command=(sys.executable, str(SCRIPT), str(run_dir), "9"), start=start
                )
                identical, _, executed = str(answer.facts["bit-identical steps"]).split()
                differing += int(executed) - int(identical)
    caveat = f"{len(lines)} lines; from the opening and {len(starts) - 1} states in the middle"
    return [
        Figure(
            "replay.foreign_script",
            float(differing),
            "steps that differ",
            "equal",
            0.0,
            caveat=caveat,
        )
    ]
