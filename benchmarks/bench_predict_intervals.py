"""Nominal 90 % intervals of calibrated predictions cover removals that no trial took part in.

Caveat: 1,000 digits, GELU with a smooth schedule and ReLU without, 20 queries, 20 trial removals of
the size that is asked about (5 % also for removals of 1 %), then 100 random removals of each size
drawn anew; float32, fixed trajectory. The executed side is trained as an ensemble, held against a
replay by ``bench_predict_digits``.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from benchmarks.bench_predict_digits import NUM_REMOVALS, SHARES, retrained
from benchmarks.digits import Digits
from benchmarks.figure import Figure
from benchmarks.lds import draw_removals, weights_without

import gradledger as gl
from gradledger.query.calibration import calibrated
from gradledger.replay.adjoint import derive
from gradledger.replay.recorded import RecordedRun

SEEDS = (0, 1)
NUM_TRIALS, LEAST_SHARE, NUM_ASKED = 20, 0.05, 20
#: Trials are drawn with seeds of their own.
APART = 1000


def measure() -> list[Figure]:
    """Count how often intervals cover, for smooth and rectified runs."""
    figures = []
    for kind in ("gelu", "relu"):
        runs = [Digits(seed=seed, activation=kind, smooth=kind == "gelu") for seed in SEEDS]
        found = [coverage(run) for run in runs]
        for size in SHARES:
            values = [one[size] for one in found]
            figures.append(
                Figure(
                    f"predict.coverage_{kind}_{size}",
                    float(np.mean(values)),
                    "share",
                    "higher",
                    0.85,
                    spread=max(values) - min(values),
                    caveat="nominal 0.90, bar 0.85 to 0.95; seeds: "
                    + ", ".join(f"{value:.3f}" for value in values),
                )
            )
    outside = max(max(0.85 - figure.value, figure.value - 0.95, 0.0) for figure in figures)
    caveat = "largest distance of a coverage from the band of 0.85 to 0.95"
    return [*figures, Figure("predict.coverage_outside", outside, "share", bar=0.0, caveat=caveat)]


def coverage(run: Digits) -> dict[str, float]:
    """Return the share of removals and queries whose executed change lies in the interval."""
    behaviours = run.behaviours(NUM_ASKED)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with gl.record(path, *run.build()) as recorder:
            run.loop(recorder)
        recorded = RecordedRun(path)
        found = derive(recorded, run.build, run.loop, behaviours)
        course = run.course(recorded)
    per_example = found.by_example(run.num_train)

    def pairs(share: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        weights = weights_without(draw_removals(run.num_train, share, count, seed), run.num_train)
        executed = retrained(run, course, weights)[:, :NUM_ASKED] - found.values
        return -(1 - weights) @ per_example.T, executed

    scores = {}
    for size, share in SHARES.items():
        tried = max(share, LEAST_SHARE)
        trials = pairs(tried, NUM_TRIALS, run.seed + APART)
        num_trial = round(tried * run.num_train)
        predicted, executed = pairs(share, NUM_REMOVALS, run.seed)
        inside = []
        for query in range(NUM_ASKED):
            known = [(float(p[query]), float(e[query])) for p, e in zip(*trials, strict=True)]
            for p, e in zip(predicted[:, query], executed[:, query], strict=True):
                near = calibrated(known, num_trial, float(p), round(share * run.num_train))
                inside.append(near is not None and near.low <= e <= near.high)
        scores[size] = float(np.mean(inside))
    return scores
