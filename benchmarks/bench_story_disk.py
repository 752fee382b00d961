"""One visit takes at most 6 bytes on disk in each parameter group of the demonstration.

Caveat: the whole visits table of size small, identifiers, commitments and footers included, over
its visits and groups. The bar is for the default, which keeps float32 whole; beside it stands
what ``visit_bits=10`` takes, within 5e-4 of each figure, a choice that a run records.
Without profiles that block groups there are fewer zeros: see ``recorder.disk``.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from benchmarks.figure import Figure, NotMeasurableError
from benchmarks.visit_bytes import WHOLE, visits_bytes

import gradledger as gl
from gradledger.demo.data import DemoData, load_demo_data
from gradledger.demo.manifest import default_cache
from gradledger.demo.model import recipe_of
from gradledger.demo.train import Training
from gradledger.errors import StorageError

SIZE, SHORT = "small", 10


def measure() -> list[Figure]:
    """Record the demonstration's training twice, seal, and look at the files."""
    try:
        data = load_demo_data(SIZE, default_cache())
    except StorageError as error:
        raise NotMeasurableError(str(error)) from error
    short, visits, groups = _recorded(data, SHORT)
    whole, _, _ = _recorded(data, WHOLE)
    caveat = f"{visits} visits in {groups} groups, zstd"
    key = "story.bytes_per_visit_and_group"
    return [
        Figure(key, whole, "bytes", bar=6.0, goal=5.0, caveat=f"{caveat}, visit_bits={WHOLE}"),
        Figure(f"{key}_short", short, "bytes", caveat=f"{caveat}, visit_bits={SHORT}"),
    ]


def _recorded(data: DemoData, bits: int) -> tuple[float, int, int]:
    tokens = torch.from_numpy(data.tokens)
    training = Training(recipe_of(SIZE), data.vocab_size, tokens, data.columns)
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        built = training.build()
        with gl.record(run_dir, *built, policy=data.policy_path, visit_bits=bits) as run:
            training.run(run)
            groups = len(run.grouping.groups)
        return visits_bytes(run_dir, groups)
