"""Capabilities: what is booked adds up, curvature leaves little, and a known cause is found.

Caveat: the demonstration of size small is run, 240 AdamW steps of a small decoder in float32, with
five probes
measured every 10 steps and at some early ones. ``probe_completeness`` adds up the tables on disk
again, interval by interval, against the measured values. ``probe_residual`` is over the change of a
probe in the whole run; within single intervals, where a probe hardly moves, the ratio says nothing.
``canary_first`` is 1 where the packages that the canary is planted in take the first places.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmarks.figure import Figure
from rich.console import Console

from gradledger.demo.main import Demonstration, demonstrate
from gradledger.demo.manifest import default_cache
from gradledger.demo.present_probes import canary_ranks
from gradledger.demo.replay import training_loop
from gradledger.ledger import Ledger, open_ledger
from gradledger.segment import read_table

#: Less than this would not be told from what any removal does to any behaviour.
CONFIRMED_NATS = 0.5


def measure() -> list[Figure]:
    """Run the demonstration and measure its probes."""
    with TemporaryDirectory() as folder:
        console = Console(quiet=True)
        done = demonstrate("small", Path(folder) / "run", default_cache(), torch.float32, console)
        with open_ledger(done.run_dir) as ledger:
            ranks = canary_ranks(ledger, done.data)
            rise = canary_rise(ledger, done, min(ranks, key=lambda name: ranks[name]))
        probes = done.summary["probes"].values()
        residual = max(abs(probe["residual"] / probe["measured"]) for probe in probes)
        error = completeness_error(done.run_dir)
        intervals = read_table(done.run_dir, "probes/intervals").to_pylist()
        rounding = max(abs(row["explained"] - row["linear"]) for row in intervals)
    first = sorted(ranks.values()) == list(range(1, len(ranks) + 1)) and bool(ranks)
    return [
        Figure(
            "story.probe_completeness",
            error,
            "nats",
            bar=1e-9,
            caveat="largest |booked visits + lines + residual - measured| over intervals",
        ),
        Figure(
            "story.probe_residual",
            residual,
            "of the change",
            bar=0.15,
            caveat="largest curvature residual over the probes of the small demonstration",
        ),
        Figure(
            "story.probe_rounding",
            rounding,
            "nats",
            caveat="largest difference over intervals between all lines and the displacement, "
            "both taken with the mean gradient; float32",
        ),
        Figure(
            "story.canary_first",
            float(first),
            "yes = 1",
            bar=1.0,
            better="equal",
            caveat="planted packages take the first places by capability",
        ),
        Figure(
            "story.canary_confirmed",
            rise,
            "nats",
            better="higher",
            bar=CONFIRMED_NATS,
            caveat="rise of the canary's loss by the executed removal of the package ranked first, "
            "less that of the held-out files",
        ),
    ]


def canary_rise(ledger: Ledger, done: Demonstration, package: str) -> float:
    """Remove a package by an executed replay; return how much more the canary lost than others."""
    loop = training_loop(done.training, done.data)
    answer = ledger.whatif(
        {"package": package}, build=loop.build, train=done.training.run, observe=loop.observe
    )
    rows = {row["name"]: row["change"] for row in answer.table("observations").records()}
    return float(rows["canary"] - rows["held-out files"])


def completeness_error(run_dir: Path) -> float:
    """Return the largest error of any interval, from the tables alone."""
    sums: dict[tuple[str, int], float] = {}
    for row in read_table(run_dir, "probes/visits").to_pylist():
        nats = sum(value for name, value in row.items() if name.startswith("nats_"))
        _add(sums, row, nats)
    for row in read_table(run_dir, "probes/lines").to_pylist():
        if row["line"] != "accrued_contributions":
            _add(sums, row, row["nats"])
    values = {
        (row["probe"], row["step"]): row["value"]
        for row in read_table(run_dir, "probes/values").to_pylist()
    }
    errors: list[float] = []
    for row in read_table(run_dir, "probes/intervals").to_pylist():
        after, before = (values[row["probe"], row[name]] for name in ("stop_step", "start_step"))
        whole = sums[row["probe"], row["interval"]] + row["residual"]
        errors.append(abs(whole - (after - before)))
    return max(errors)


def _add(sums: dict[tuple[str, int], float], row: dict[str, Any], nats: float) -> None:
    key = (row["probe"], row["interval"])
    sums[key] = sums.get(key, 0.0) + nats
