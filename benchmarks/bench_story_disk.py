"""One visit takes at most 6 bytes on disk in each parameter group of the demonstration.

Caveat: the whole visits table of size small as the demonstration records it, identifiers,
commitments and footers included, over its visits and groups. It keeps 9 bits of each figure's
fraction, within 1e-3 of it, and seals where a state is stored, three times; a run records both.
Beside it stands what the defaults take: every bit of float32, and five pieces. Without profiles
that block groups there are fewer zeros: see ``recorder.disk``.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from benchmarks.figure import Figure, NotMeasurableError
from benchmarks.visit_bytes import visits_bytes

import gradledger as gl
from gradledger.demo.data import DemoData, load_demo_data
from gradledger.demo.manifest import default_cache
from gradledger.demo.model import recipe_of
from gradledger.demo.train import Training
from gradledger.errors import StorageError

SIZE = "small"


def measure() -> list[Figure]:
    """Record the demonstration's training as it does and by default, and look at the files."""
    try:
        data = load_demo_data(SIZE, default_cache())
    except StorageError as error:
        raise NotMeasurableError(str(error)) from error
    recipe = recipe_of(SIZE)
    chosen = {"visit_bits": recipe.visit_bits, "state_every": recipe.state_every}
    found, visits, groups = _recorded(data, chosen)
    default, _, _ = _recorded(data, {})
    caveat = f"{visits} visits in {groups} groups, zstd"
    key = "story.bytes_per_visit_and_group"
    return [
        Figure(key, found, "bytes", bar=6.0, goal=5.0, caveat=f"{caveat}, {chosen}"),
        Figure(f"{key}_default", default, "bytes", caveat=f"{caveat}, defaults of gl.record"),
    ]


def _recorded(data: DemoData, settings: dict[str, Any]) -> tuple[float, int, int]:
    tokens = torch.from_numpy(data.tokens)
    training = Training(recipe_of(SIZE), data.vocab_size, tokens, data.columns)
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        built = training.build()
        with gl.record(run_dir, *built, policy=data.policy_path, **settings) as run:
            training.run(run)
            groups = len(run.grouping.groups)
        return visits_bytes(run_dir, groups)
