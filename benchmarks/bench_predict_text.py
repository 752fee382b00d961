"""The derivative ranks removals of text as executed removals do, and says where it does not.

Caveat: a decoder of 121 thousand parameters on 512 windows of 64 bytes, 32 steps, AdamW with
clipping, 10 queries, 40 random removals of each size, fixed trajectory, float32, mean over seeds.
The executed side is trained as an ensemble, held against an executed replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from benchmarks.ensemble import Course, evaluate_ensemble, recorded_batches, train_ensemble
from benchmarks.figure import Figure
from benchmarks.lds import draw_removals, lds, weights_without
from benchmarks.text_decoder import NUM_WINDOWS, TextRun, window_losses
from torch import Tensor, nn

import gradledger as gl
from gradledger.replay.adjoint import derive, examine_beliefs
from gradledger.replay.adjoint.belief import execute_weighted
from gradledger.replay.recorded import RecordedRun

SEEDS = (0, 1, 2)
SHARES = {"rm1": 0.01, "rm5": 0.05, "rm20": 0.2, "loo": 1 / NUM_WINDOWS}
NUM_QUERIES, NUM_REMOVALS, AT_ONCE = 10, 40, 20
BLUNTS = (0.0, 1e-4, 1e-3)
BARS: dict[float, dict[str, float]] = {
    1e-3: {"rm1": 0.96, "rm5": 0.94, "rm20": 0.87, "loo": 0.96},
    1e-4: {"rm1": 0.90, "rm5": 0.80, "rm20": 0.70, "loo": 0.90},
    1e-8: {},
}


def measure() -> list[Figure]:
    """Score every eps over all seeds."""
    figures = []
    for eps, bars in BARS.items():
        found = [score(TextRun(seed=seed, eps=eps)) for seed in SEEDS]
        label = f"eps{round(-np.log10(eps))}"
        for name in SHARES:
            for blunt in BLUNTS:
                extra = f"_blunted{round(-np.log10(blunt))}" if blunt else ""
                values = [one[str(blunt), name] for one in found]
                figures.append(
                    Figure(
                        f"predict.lds_text_{label}{extra}_{name}",
                        float(np.mean(values)),
                        "Spearman",
                        "higher",
                        None if blunt else bars.get(name),
                        spread=max(values) - min(values),
                        caveat="seeds: " + ", ".join(f"{value:.3f}" for value in values),
                    )
                )
        flagged = float(np.mean([one["flagged", ""] for one in found]))
        figures.append(
            Figure(
                f"predict.flagged_text_{label}",
                flagged,
                "share of seeds",
                "equal",
                1.0 if eps < 1e-6 else 0.0,
                caveat="expected: " + ", ".join(f"{one['expected', '']:.2f}" for one in found),
            )
        )
    return figures


def score(
    run: TextRun, num_removals: int = NUM_REMOVALS, sizes: Sequence[str] = tuple(SHARES)
) -> dict[tuple[str, str], float]:
    """Return LDS by blunting and size of removals, what the checks expected, and the gap."""
    behaviours = run.behaviours(NUM_QUERIES)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run"
        with gl.record(path, *run.build()) as recorder:
            run.loop(recorder)
        recorded = RecordedRun(path)
        found = {
            str(blunt): derive(recorded, run.build, run.loop, behaviours, blunt=blunt)
            for blunt in BLUNTS
        }
        beliefs = examine_beliefs(
            recorded, run.build, run.loop, behaviours, found["0.0"], num_removals=0
        )
        course = Course(
            recorded_batches(recorded),
            (run.tokens,),
            [run.rate(step) for step in range(run.steps)],
            lambda model, rows: window_losses(model, rows[0]),
            clip=run.clip,
        )
        scores: dict[tuple[str, str], float] = {}
        for size in sizes:
            removals = draw_removals(NUM_WINDOWS, SHARES[size], num_removals, run.seed)
            weights = weights_without(removals, NUM_WINDOWS)
            after = retrained(run, course, weights)
            executed = after - found["0.0"].values
            for name, derivatives in found.items():
                predicted = -(1 - weights) @ derivatives.by_example(NUM_WINDOWS).T
                scores[name, size] = lds(predicted, executed)
        replayed, _ = execute_weighted(
            recorded, run.build, run.loop, behaviours, range(NUM_WINDOWS), weights[0]
        )
        scores["gap", ""] = float(np.abs(replayed - after[0]).max())
    expected = float(np.mean([belief.expected for belief in beliefs.values()]))
    scores["expected", ""] = expected
    scores["flagged", ""] = float(np.mean([not b.reliable for b in beliefs.values()]) > 0.5)
    return scores


def retrained(run: TextRun, course: Course, weights: np.ndarray) -> np.ndarray:
    """Return the losses of the queries after each removal, shape (removals, queries)."""

    def queries(model: nn.Module) -> Tensor:
        return window_losses(model, run.queries[:NUM_QUERIES])

    parts = []
    for start in range(0, len(weights), AT_ONCE):
        part = torch.from_numpy(weights[start : start + AT_ONCE])
        params = train_ensemble(*run.build(), course, part)
        parts.append(evaluate_ensemble(run.build()[0], params, queries).numpy())
    return np.concatenate(parts)
