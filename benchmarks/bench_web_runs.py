"""A folder of 200 runs lists: processor seconds of the page, run documents read afresh.

Caveat: the runs have few visits; the page reads only their two documents, whatever their size.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figure import Figure, middle
from benchmarks.web_client import Client
from benchmarks.web_run import write_run

NUM_RUNS = 200


def measure() -> list[Figure]:
    """List 200 runs several times."""
    with TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        write_run(runs / "run-000", num_steps=4, batch=4, num_examples=16)
        for number in range(1, NUM_RUNS):
            shutil.copytree(runs / "run-000", runs / f"run-{number:03d}")
        client = Client(runs, runs / ".work")
        client.get("/runs")
        seconds, spread = middle([client.seconds(f"/runs?a={number}") for number in range(5)])
    return [
        Figure("web.list_200_runs_seconds", seconds, "seconds", "lower", 1.0, spread=spread,
               caveat="processor seconds, every document parsed again"),
    ]  # fmt: skip
