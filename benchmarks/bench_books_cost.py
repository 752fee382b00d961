"""A recorded step costs at most 1.60 plain steps at level shares, 1.05 at level decisions.

Caveat: the three runs take turns step by step in one process on two threads, so that load from
outside falls on all of them; the ratio is the median over steps of recorded over plain.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from benchmarks.decoder import ROWS, build_decoder, random_windows, train_step
from benchmarks.figure import Figure, middle
from torch import optim

import gradledger as gl

WARMUPS, STEPS = 3, 20


def measure() -> list[Figure]:
    """Interleave plain training with both recording levels."""
    torch.set_num_threads(2)
    tokens = random_windows(ROWS)
    batch = {"tokens": tokens}
    with TemporaryDirectory() as folder:
        plain = _trainer()
        runs = {
            level: _recorded(Path(folder) / level, level, tokens)
            for level in ("shares", "decisions")
        }
        seconds: dict[str, list[float]] = {"plain": [], "shares": [], "decisions": []}
        for _ in range(WARMUPS + STEPS):
            seconds["plain"].append(_time(lambda: train_step(*plain, tokens)))
            for level, (run, model, optimizer) in runs.items():

                def recorded(
                    run: Any = run, model: Any = model, optimizer: Any = optimizer
                ) -> None:
                    with run.step(batch, examples=range(ROWS)):
                        train_step(model, optimizer, tokens)

                seconds[level].append(_time(recorded))
        for run, _, _ in runs.values():
            run.close()
    plain_seconds = seconds["plain"][WARMUPS:]
    figures = []
    for level, bar, goal in (("shares", 1.60, 1.25), ("decisions", 1.05, None)):
        pairs = zip(seconds[level][WARMUPS:], plain_seconds, strict=True)
        ratio, spread = middle([recorded / plain for recorded, plain in pairs])
        figures.append(
            Figure(
                f"books.cost_{level}",
                ratio,
                "ratio",
                "lower",
                bar,
                goal,
                spread,
                "decoder 6 layers, d 384, T 256, B 8, two threads; noisy machine",
            )
        )
    value, spread = middle(plain_seconds)
    return [*figures, Figure("books.cost_plain_step", value, "seconds", spread=spread)]


def _trainer() -> tuple[torch.nn.Module, optim.Optimizer]:
    model = build_decoder()
    return model, optim.AdamW(model.parameters(), lr=1e-3)


def _recorded(folder: Path, level: str, tokens: torch.Tensor) -> tuple[Any, Any, Any]:
    model, optimizer = _trainer()
    run = gl.record(folder, model, optimizer, level=level)
    run.admit([{"tokens": row} for row in tokens])
    return run, model, optimizer


def _time(action: Any) -> float:
    start = perf_counter()
    action()
    return perf_counter() - start
