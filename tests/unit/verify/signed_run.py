"""A small signed run under a policy that refuses some examples and closes a block to others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl
from gradledger.log import RunLog, SigningKey, save_key, write_manifest
from gradledger.segment import read_json, write_json

POLICY = """
format: gradledger.policy/1
policy: test.depth
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
#: The last two are refused.
SOURCES = ["deep", "shallow", "deep", "shallow", "deep", "shallow", "other", "other"]


def train(folder: Path, key: Path | SigningKey | None, *, fail_at: int = 0, **record: Any) -> None:
    """Six steps of two examples; resumes where a run is there, raises where it is to be cut."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    settings = {"state_every": 2, "seal_steps": 2, "resume": True, "policy": POLICY, **record}
    with gl.record(folder, model, optimizer, key=key, **settings) as run:
        data = run.admit(TensorDataset(inputs, torch.arange(8) % 2), {"source": SOURCES})
        generator = torch.Generator().manual_seed(7)
        loader = DataLoader(data, 2, shuffle=True, generator=generator)
        for _ in range(2):
            for batch in run.batches(loader):
                with run.step(batch) as step:
                    nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
                    if step.number == fail_at:
                        message = "cut off"
                        raise RuntimeError(message)
                    optimizer.step()
                optimizer.zero_grad()


def make_signed_run(folder: Path) -> tuple[Path, Path]:
    """Return the run and its key file."""
    key = folder / "lab.key"
    save_key(SigningKey.generate("example.org/lab"), key)
    train(folder / "run", key)
    return folder / "run", key


def change_table(run: Path, table: str, part: int, change: Any) -> None:
    """Rewrite a segment: ``change`` gets its rows as a list of dictionaries and returns rows."""
    path = run / table / f"part-{part:06d}.parquet"
    found = pq.read_table(path)
    rows = change(found.to_pylist())
    pq.write_table(pa.Table.from_pylist(rows, schema=found.schema), path)


def change_json(run: Path, name: str, **fields: Any) -> None:
    """Rewrite fields of a document."""
    write_json(run / name, {**read_json(run / name), **fields})


def log_anew(run: Path, signer: SigningKey | None = None) -> None:
    """Write a new log over what lies in a run, as somebody would who may write to all of it."""
    shutil.rmtree(run / "log")
    with RunLog(run, signer) as log:
        log.take_up()
        values = {}
        for source in set(SOURCES):
            number = sorted(set(SOURCES)).index(source)
            content = (run / f"commitments/source-{number:06d}").read_bytes()
            values[source] = [content[at : at + 32] for at in range(0, len(content), 32)]
        log.add_commitments(values)
        log.add_end()
        log.publish()
    write_manifest(run)
