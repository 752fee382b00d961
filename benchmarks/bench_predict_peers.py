"""On one task and one trajectory the recorded run's derivative ranks removals better than peers.

Caveat: 1,000 digits, MLP with ReLU and AdamW, 20 queries, 100 random removals of each size on the
fixed trajectory, mean over seeds; peers as they come from PyPI, with the settings that ``peers.py``
names, those that are not installed left out. Top-50: what rises when the 50 examples go that a
method holds most responsible for a query's low loss, on average over queries.
"""

from __future__ import annotations

import numpy as np
from benchmarks.bench_predict_digits import NUM_REMOVALS, SHARES, retrained
from benchmarks.digits import Digits, losses
from benchmarks.ensemble import Course
from benchmarks.figure import Figure
from benchmarks.lds import draw_removals, lds, weights_without
from benchmarks.peers import METHODS, Setting

SEEDS = (0, 1, 2)
NUM_ASKED, TOP = 20, 50
ALL_SHARES = {**SHARES, "half": 0.5}


def measure() -> list[Figure]:
    """Score all methods over all seeds."""
    scores = [score(Digits(seed=seed), NUM_REMOVALS) for seed in SEEDS]
    labels = {
        method.name: f"{method.label}; {method.package} {method.version()}".rstrip("; ")
        for method in METHODS
        if method.version() is not None
    }
    figures = []
    for name, label in {**labels, "random": "random scores"}.items():
        for size in (*ALL_SHARES, "top50"):
            values = [one[name, size] for one in scores if (name, size) in one]
            if values:
                figures.append(
                    Figure(
                        f"predict.peers_{name}_{size}",
                        float(np.mean(values)),
                        "nats" if size == "top50" else "Spearman",
                        "higher",
                        spread=max(values) - min(values),
                        caveat=label,
                    )
                )
    ours = float(np.mean([one["gradledger", "top50"] for one in scores]))
    peers = [name for name in labels if not name.startswith("gradledger")]
    best = max(
        (float(np.mean([one[name, "top50"] for one in scores])) for name in peers), default=None
    )
    if best is not None:
        figures.append(
            Figure("predict.top50_over_best_peer", ours / best, "ratio", "higher", 1.0, goal=1.5)
        )
    return figures


def score(run: Digits, num_removals: int) -> dict[tuple[str, str], float]:
    """Return LDS by method and size of removals, and the rise when the most blamed 50 go."""
    setting = Setting(run, NUM_ASKED)
    course = Course(
        setting.order,
        (run.images, run.labels),
        [run.rate(step) for step in range(run.num_steps)],
        lambda model, rows: losses(model, *rows),
    )

    def executed(weights: np.ndarray) -> np.ndarray:
        return retrained(run, course, weights)[:, :NUM_ASKED]

    recorded = executed(np.ones((1, run.num_train), np.float32))[0]
    derivatives = {m.name: m(setting) for m in METHODS if m.version() is not None}
    rng = np.random.default_rng([run.seed, TOP])
    derivatives["random"] = rng.normal(size=(run.num_train, NUM_ASKED))
    found: dict[tuple[str, str], float] = {}
    for size, share in ALL_SHARES.items():
        removals = draw_removals(run.num_train, share, num_removals, run.seed)
        weights = weights_without(removals, run.num_train)
        change = executed(weights) - recorded
        for name, values in derivatives.items():
            found[name, size] = lds(-(1 - weights) @ values, change)
    for name, values in derivatives.items():
        blamed = [np.argsort(values[:, query])[:TOP] for query in range(NUM_ASKED)]
        after = executed(weights_without(blamed, run.num_train))
        found[name, "top50"] = float(np.mean(np.diag(after) - recorded))
    return found
