"""How many bytes of the visits table one visit takes in one parameter group."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from benchmarks.decoder import build_decoder, random_windows, train_step
from torch import optim

import gradledger as gl
from gradledger.segment import read_table

EXAMPLES, ROWS, STEPS = 64, 8, 160
#: Within 1.2e-4 of each figure, and whole.
SHORT, WHOLE = 12, 23


def bytes_per_visit_and_group(bits: int) -> tuple[float, int, int]:
    """Record a small decoder for some epochs in one sealed piece.

    Args:
        bits: Of the fraction of every figure, see ``gl.record``.

    Returns:
        Bytes of the visits table over visits and groups, visits, groups.
    """
    model = build_decoder(layers=4, width=32, heads=4)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    windows = random_windows(EXAMPLES, positions=32)
    order = torch.Generator().manual_seed(2)
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        with gl.record(run_dir, model, optimizer, seal_seconds=0.0, visit_bits=bits) as run:
            run.admit([{"tokens": row} for row in windows])
            for _ in range(STEPS):
                drawn = torch.randperm(EXAMPLES, generator=order)[:ROWS]
                with run.step({"tokens": windows[drawn]}, examples=drawn.tolist()):
                    train_step(model, optimizer, windows[drawn])
            groups = len(run.grouping.groups)
        return visits_bytes(run_dir, groups)


def visits_bytes(run_dir: Path, groups: int) -> tuple[float, int, int]:
    """Return bytes of the visits table over visits and groups, visits, groups."""
    size = sum(path.stat().st_size for path in (run_dir / "visits").rglob("*.parquet"))
    visits = read_table(run_dir, "visits", ["step"]).num_rows
    return size / visits / groups, visits, groups
