"""The ledger's estimate ranks removals of whole sources as executed replays do.

Caveat: the demonstration's small run, windows held out from training as the behaviour, one seed and
one order; the sources are few, so the interval is wide. Every source is removed by an executed
replay; the estimate is minus the nats booked to it over the run. There is no bar: the estimate is
accounting, and how far it may be taken for a prediction is what this measures.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from benchmarks.figure import Figure, NotMeasurableError
from torch import Tensor, nn

import gradledger as gl
from gradledger.demo.data import DemoData, load_demo_data
from gradledger.demo.manifest import default_cache
from gradledger.demo.model import losses_per_window, recipe_of
from gradledger.demo.train import Training
from gradledger.errors import StorageError
from gradledger.query.agreement import spearman
from gradledger.replay import settle

SIZE = "small"
#: Every so many admitted windows one is held out of training.
HELD_OUT_EVERY = 8
NUM_RESAMPLES = 2000


def measure() -> list[Figure]:
    """Remove every source once and compare ranks."""
    if not hasattr(gl, "Probe"):
        message = "this version books no probes"
        raise NotMeasurableError(message)
    try:
        data = load_demo_data(SIZE, default_cache())
    except StorageError as error:
        raise NotMeasurableError(str(error)) from error
    pairs = removals(data)
    estimated, executed = (np.asarray(values) for values in zip(*pairs, strict=True))
    low, high = interval(estimated, executed)
    return [
        Figure(
            "story.removal_rank_agreement",
            spearman(estimated.tolist(), executed.tolist()) or 0.0,
            "Spearman",
            "higher",
            None,
            goal=0.6,
            spread=high - low,
            caveat=f"{len(pairs)} sources, size {SIZE}, held-out loss; 95 % bootstrap interval "
            f"{low:.2f} to {high:.2f}",
        )
    ]


def removals(data: DemoData) -> list[tuple[float, float]]:
    """Return estimated and executed change of the held-out loss, in nats, for every source."""
    held_out = data.admitted[::HELD_OUT_EVERY]
    kept = np.setdiff1d(np.arange(len(data)), held_out)
    tokens = torch.from_numpy(data.tokens)
    columns = {name: [values[n] for n in kept] for name, values in data.columns.items()}
    training = Training(recipe_of(SIZE), data.vocab_size, tokens[torch.as_tensor(kept)], columns)
    probe: Any = getattr(gl, "Probe")("held out", tokens[torch.as_tensor(held_out)], _mean_loss)  # noqa: B009
    settings: dict[str, Any] = {"policy": data.policy_path, "probes": [probe]}
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        with gl.record(run_dir, *training.build(), **settings) as run:
            training.run(run)
        probes: dict[str, Any] = {"probes": [probe]}
        settle(run_dir, training.build, training.run, **probes)
        with gl.open(run_dir) as ledger:
            sources = [row["source"] for row in ledger.trace(by="source", top=1000).rows]
            rows = [
                ledger.whatif(
                    {"source": source}, build=training.build, train=training.run, observe=[probe]
                )
                .table("observations")
                .records()[0]
                for source in sources
            ]
    return [(row["ledger"], row["change"]) for row in rows]


def interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of the rank correlation over resampled sources."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(NUM_RESAMPLES):
        drawn = rng.integers(0, len(first), len(first))
        value = spearman(first[drawn].tolist(), second[drawn].tolist())
        if value is not None:
            found.append(value)
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _mean_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    return losses_per_window(model, tokens).mean()
