"""How many bytes of the visits table one visit takes in one parameter group."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from benchmarks.decoder import build_decoder, random_windows, train_step
from torch import optim

import gradledger as gl

EXAMPLES, ROWS, STEPS = 64, 8, 160


def bytes_per_visit_and_group() -> tuple[float, int, int]:
    """Record a small decoder for some epochs in one sealed piece.

    Returns:
        Bytes of the visits table over visits and groups, visits, groups.
    """
    model = build_decoder(layers=4, width=32, heads=4)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    windows = random_windows(EXAMPLES, positions=32)
    order = torch.Generator().manual_seed(2)
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        with gl.record(run_dir, model, optimizer, seal_seconds=0.0) as run:
            run.admit([{"tokens": row} for row in windows])
            for _ in range(STEPS):
                drawn = torch.randperm(EXAMPLES, generator=order)[:ROWS]
                with run.step({"tokens": windows[drawn]}, examples=drawn.tolist()):
                    train_step(model, optimizer, windows[drawn])
            groups = len(run.grouping.groups)
        size = sum(path.stat().st_size for path in (run_dir / "visits").rglob("*.parquet"))
    visits = STEPS * ROWS
    return size / visits / groups, visits, groups
