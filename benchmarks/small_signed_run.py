"""A small signed run, for benchmarks that damage it: policy, profiles, states, commitments."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl
from gradledger.log import SigningKey

POLICY = """
format: gradledger.policy/1
policy: benchmarks.damage
version: "1"
attributes:
  source: {type: string}
rules:
  - {id: known, effect: admit, when: "source IN ('deep', 'shallow')"}
classes:
  - {id: shallow, when: "source = 'shallow'"}
profiles:
  full: {default: 1}
  shallow: {default: 1, weights: [{blocks: "0", weight: 0}]}
assign:
  default: full
  by:
    - {class: shallow, profile: shallow}
"""
SOURCES = ["deep", "shallow", "deep", "shallow", "other", "other"]


def make_small_run(
    folder: Path, key: SigningKey | None = None, seed: int = 3
) -> tuple[Path, SigningKey]:
    """Return a closed run of four steps and the key that signed it, a new one unless given."""
    key, run_dir = key or SigningKey.generate("benchmarks.test/damage"), folder / "run"
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    inputs = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    with gl.record(run_dir, model, optimizer, policy=POLICY, key=key, seal_steps=2) as run:
        data = run.admit(TensorDataset(inputs, torch.arange(6) % 2), {"source": SOURCES})
        for _ in range(2):
            for batch in run.batches(DataLoader(data, 2)):
                with run.step(batch):
                    nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                optimizer.zero_grad()
    return run_dir, key
