"""The derivative ranks removals of digits as executed removals do.

Caveat: 1,000 digits, 20 queries, 100 random removals of each size, fixed trajectory (same initial
weights, order and denominators; removed examples have weight 0), float32, mean over three seeds.
The executed side is trained as an ensemble, held against executed replays of the recorded loop.
The blunted derivative follows gradients below 3e-3 less steeply, the softened one also spreads the
kinks of rectifiers over 0.3; both sizes were chosen on seed 1.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from benchmarks.digits import Digits, losses
from benchmarks.ensemble import Course, evaluate_ensemble, train_ensemble
from benchmarks.figure import Figure
from benchmarks.lds import draw_removals, lds, weights_without
from torch import Tensor, nn

import gradledger as gl
from gradledger.replay.adjoint import derive
from gradledger.replay.adjoint.belief import execute_weighted
from gradledger.replay.recorded import RecordedRun

SEEDS = (0, 1, 2)
SHARES = {"rm1": 0.01, "rm5": 0.05, "rm20": 0.2}
NUM_QUERIES, NUM_REMOVALS = 20, 100
#: Softened derivatives: gradient size below which steps are blunted, width of a spread kink.
SOFTENED = {"exact": (0.0, 0.0), "blunted": (3e-3, 0.0), "softened": (3e-3, 0.3)}
BARS = {
    "relu": {"rm1": 0.82, "rm5": 0.84, "rm20": 0.87},
    "gelu": {"rm1": 0.98, "rm5": 0.98, "rm20": 0.96},
}


def measure() -> list[Figure]:
    """Score derivatives of rectified and of smooth runs."""
    figures = []
    for kind, bars in BARS.items():
        runs = [Digits(seed=seed, activation=kind, smooth=kind == "gelu") for seed in SEEDS]
        scores = [score(run) for run in runs]
        for name, bar in bars.items():
            figures += [
                _figure(
                    f"predict.lds_digits_{kind}{extra}_{name}", [s[how, name] for s in scores], b
                )
                for how in SOFTENED
                if (how, name) in scores[0]
                for extra, b in ((f"_{how}", None) if how != "exact" else ("", bar),)
            ]
        figures.append(
            Figure(
                f"predict.lds_digits_{kind}_ensemble_gap",
                max(s["gap", ""] for s in scores),
                "nats",
                "lower",
                1e-3,
                caveat="largest difference between a query's loss in the ensemble and in an "
                "executed replay of the same removal",
            )
        )
    return figures


def score(run: Digits) -> dict[tuple[str, str], float]:
    """Return LDS by derivative and size of removals, and how far ensemble and replay are apart."""
    behaviours = run.behaviours(NUM_QUERIES)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with gl.record(path, *run.build()) as recorder:
            run.loop(recorder)
        recorded = RecordedRun(path)
        found = {
            name: derive(recorded, run.build, run.loop, behaviours, blunt=blunt, kinks=kinks)
            for name, (blunt, kinks) in SOFTENED.items()
            if not kinks or run.activation == "relu"
        }
        course = run.course(recorded)
        scores: dict[tuple[str, str], float] = {}
        for size, share in SHARES.items():
            removals = draw_removals(run.num_train, share, NUM_REMOVALS, run.seed)
            weights = weights_without(removals, run.num_train)
            after = retrained(run, course, weights)
            executed = after - found["exact"].values
            for name, derivatives in found.items():
                predicted = -(1 - weights) @ derivatives.by_example(run.num_train).T
                scores[name, size] = lds(predicted, executed)
        replayed, _ = execute_weighted(
            recorded, run.build, run.loop, behaviours, range(run.num_train), weights[0]
        )
        scores["gap", ""] = float(np.abs(replayed - after[0]).max())
    return scores


def retrained(run: Digits, course: Course, weights: np.ndarray) -> np.ndarray:
    """Return the losses of the queries after each removal, shape (removals, queries)."""
    images, labels = run.queries

    def queries(model: nn.Module) -> Tensor:
        return losses(model, images, labels)[:NUM_QUERIES]

    params = train_ensemble(*run.build(), course, torch.from_numpy(weights))
    values: np.ndarray = evaluate_ensemble(run.build()[0], params, queries).numpy()
    return values


def _figure(key: str, values: list[float], bar: float | None) -> Figure:
    return Figure(
        key,
        float(np.mean(values)),
        "Spearman",
        "higher",
        bar,
        goal=0.95,
        spread=max(values) - min(values),
        caveat="seeds: " + ", ".join(f"{value:.3f}" for value in values),
    )
