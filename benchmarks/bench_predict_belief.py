"""What a derivative is expected to be worth, before it is used, is what it turns out to be worth.

Caveat: 14 runs on 400 digits that differ in optimizer, learning rate, eps, length, activation and
schedule; 8 queries; expected agreement from a spot check and 6 trial removals of 5 %; measured as
LDS over 60 other random removals of 5 %, trained as an ensemble; float32, one seed per run, none of
them among those that the rule was chosen on.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from benchmarks.bench_predict_digits import retrained
from benchmarks.digits import Digits
from benchmarks.figure import Figure
from benchmarks.lds import draw_removals, lds, weights_without

import gradledger as gl
from gradledger.query.agreement import spearman
from gradledger.replay.adjoint import derive, examine_beliefs
from gradledger.replay.adjoint.belief import RELIABLE
from gradledger.replay.recorded import RecordedRun

NUM_TRAIN, NUM_ASKED, NUM_REMOVALS, SHARE, NUM_TRIALS = 400, 8, 60, 0.05, 6
APART = 500
#: The rule was chosen on seeds from 0.
FIRST_SEED = 100

RUNS: dict[str, dict[str, Any]] = {
    "gelu smooth": {"activation": "gelu", "smooth": True},
    "gelu eps 1e-4": {"activation": "gelu", "smooth": True, "eps": 1e-4},
    "gelu constant rate": {"activation": "gelu"},
    "gelu rate 3e-3": {"activation": "gelu", "learning_rate": 3e-3},
    "gelu rate 1e-2": {"activation": "gelu", "learning_rate": 1e-2},
    "gelu rate 3e-2": {"activation": "gelu", "learning_rate": 3e-2},
    "gelu long": {"activation": "gelu", "learning_rate": 3e-3, "epochs": 16},
    "relu": {},
    "relu short": {"epochs": 3},
    "relu rate 3e-3": {"learning_rate": 3e-3},
    "relu rate 1e-2": {"learning_rate": 1e-2},
    "relu eps 1e-3": {"eps": 1e-3},
    "gelu sgd": {"activation": "gelu", "optimizer": "sgd", "learning_rate": 0.05},
    "relu sgd": {"optimizer": "sgd", "learning_rate": 0.05},
}


def measure() -> list[Figure]:
    """Compare expected and measured agreement over all runs."""
    pairs = {
        name: compare(Digits(seed=seed, num_train=NUM_TRAIN, **settings))
        for seed, (name, settings) in enumerate(RUNS.items(), FIRST_SEED)
    }
    expected, measured = (list(side) for side in zip(*pairs.values(), strict=True))
    believed = [m for e, m in pairs.values() if e >= RELIABLE]
    caveat = "; ".join(f"{name} {e:.2f} {m:.2f}" for name, (e, m) in pairs.items())
    return [
        Figure(
            "predict.belief_spearman",
            spearman(expected, measured) or 0.0,
            "Spearman",
            "higher",
            0.8,
            caveat=f"{len(pairs)} runs, expected and measured: {caveat}",
        ),
        Figure(
            "predict.belief_least_reliable",
            min(believed, default=1.0),
            "LDS",
            "higher",
            RELIABLE,
            caveat=f"smallest LDS of the {len(believed)} runs that are called reliable",
        ),
    ]


def compare(run: Digits) -> tuple[float, float]:
    """Return the agreement that is expected of a run's derivative, and the measured LDS."""
    behaviours = run.behaviours(NUM_ASKED)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with gl.record(path, *run.build()) as recorder:
            run.loop(recorder)
        recorded = RecordedRun(path)
        found = derive(recorded, run.build, run.loop, behaviours)
        beliefs = examine_beliefs(
            recorded,
            run.build,
            run.loop,
            behaviours,
            found,
            num_removals=NUM_TRIALS,
            seed=run.seed + APART,
        )
        course = run.course(recorded)
    weights = weights_without(
        draw_removals(run.num_train, SHARE, NUM_REMOVALS, run.seed), run.num_train
    )
    executed = retrained(run, course, weights)[:, :NUM_ASKED] - found.values
    predicted = -(1 - weights) @ found.by_example(run.num_train).T
    expected = float(np.mean([belief.expected for belief in beliefs.values()]))
    return expected, lds(predicted, executed)
