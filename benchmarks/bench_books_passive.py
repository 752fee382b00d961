"""Recorded and unrecorded training of a decoder end in bit-identical weights.

Caveat: 200 steps of a small decoder (2 layers, d = 64, T = 64, B = 4), two threads.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from benchmarks.decoder import build_decoder, random_windows, train_step
from benchmarks.figure import Figure
from torch import nn, optim

import gradledger as gl

STEPS, ROWS, POSITIONS = 200, 4, 64


def measure() -> list[Figure]:
    """Count weights that differ, for SGD with momentum and AdamW."""
    torch.set_num_threads(2)
    return [
        Figure(
            f"books.passive_{name}",
            float(_differing(kind)),
            "count",
            "equal",
            0.0,
            caveat="weights that differ in any bit after 200 steps",
        )
        for name, kind in (("sgd", "sgd"), ("adamw", "adamw"))
    ]


def _make(kind: str) -> tuple[nn.Module, optim.Optimizer]:
    model = build_decoder(layers=2, width=64, heads=4)
    if kind == "sgd":
        return model, optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return model, optim.AdamW(model.parameters(), lr=1e-3)


def _differing(kind: str) -> int:
    tokens = random_windows(64, POSITIONS)
    plain, optimizer = _make(kind)
    order = torch.Generator().manual_seed(9)
    batches = [torch.randint(0, 64, (ROWS,), generator=order) for _ in range(STEPS)]
    for rows in batches:
        train_step(plain, optimizer, tokens[rows])
    recorded, optimizer = _make(kind)
    with (
        TemporaryDirectory() as folder,
        gl.record(Path(folder) / "run", recorded, optimizer, on_imbalance="strict") as run,
    ):
        run.admit([{"tokens": row} for row in tokens])
        for rows in batches:
            batch = {"tokens": tokens[rows]}
            with run.step(batch, examples=rows.tolist()):
                train_step(recorded, optimizer, batch["tokens"])
    pairs = zip(plain.parameters(), recorded.parameters(), strict=True)
    return sum(int((a.view(torch.int32) != b.view(torch.int32)).sum()) for a, b in pairs)
