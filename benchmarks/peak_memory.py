"""Train the decoder for a few steps in this process and print how much its memory grew.

python -m benchmarks.peak_memory plain|shares|substitute|decisions
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from benchmarks.decoder import ROWS, build_decoder, random_windows, train_step
from torch import optim

import gradledger as gl

STEPS = 4


def main(arm: str) -> int:
    """Print the growth of the peak in bytes, from before the model was built."""
    torch.set_num_threads(2)
    tokens = random_windows(ROWS)
    build_decoder(layers=1, width=12, heads=2)  # What is loaded once is no memory of training.
    before = _peak()
    model = build_decoder()
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    if arm == "plain":
        for _ in range(STEPS):
            train_step(model, optimizer, tokens)
    else:
        settings = {"substitute": True} if arm == "substitute" else {"level": arm}
        with (
            TemporaryDirectory() as folder,
            gl.record(Path(folder) / "run", model, optimizer, **settings) as run,
        ):
            run.admit([{"tokens": row} for row in tokens])
            for _ in range(STEPS):
                with run.step({"tokens": tokens}, examples=range(ROWS)):
                    train_step(model, optimizer, tokens)
            print(_peak() - before)
            return 0
    print(_peak() - before)
    return 0


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
