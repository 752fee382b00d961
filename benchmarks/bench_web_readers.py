"""Twenty readers of a run that trains: what they cost the training, and whether any meets an error.

Caveat: cost is the processor time of the training's own steps with readers over without them, in
blocks that take turns; the server and the readers run in other processes. Where fewer cores than
processes are free they also wait for each other, which this does not count.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time, sleep

import torch
from benchmarks.figure import Figure
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl

NUM_READERS, NUM_BLOCKS, BLOCK_STEPS = 20, 12, 200

POLICY = """
format: gradledger.policy/1
policy: bench.readers
version: "1.0.0"
attributes:
  license: {type: string}
classes:
  - {id: open, when: "license = 'MIT'"}
rules:
  - {id: stated, effect: admit, when: "license <> ''"}
profiles:
  full: {default: 1.0}
assign:
  default: full
"""


def measure() -> list[Figure]:
    """Train in this process; serve and read in another, now and then held."""
    with TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        runs.mkdir()
        (Path(folder) / "policy.yaml").write_text(POLICY)
        log = Path(folder) / "readers.txt"
        ratio, spread = _train(runs, Path(folder), log)
        said = log.read_text().split() if log.exists() else []
    pages, errors = (int(said[0]), int(said[1])) if len(said) > 1 else (0, 1)
    return [
        Figure("web.readers_slowdown_ratio", ratio, "ratio", "lower", 1.02, spread=spread,
               caveat=f"{NUM_READERS} readers of the live overview; {pages} pages were read"),
        Figure("web.readers_errors", float(errors), "count", "equal", 0.0,
               caveat="answers other than a page or not changed"),
    ]  # fmt: skip


def _train(runs: Path, folder: Path, log: Path) -> tuple[float, float]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    inputs = torch.randn(2048, 64)
    dataset = TensorDataset(inputs, (inputs[:, 0] > 0).long())
    layers = [torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.Linear(256, 256)]
    model = torch.nn.Sequential(*layers, torch.nn.GELU(), torch.nn.Linear(256, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    run = gl.record(
        runs / "live", model, optimizer, policy=folder / "policy.yaml", seal_seconds=5.0
    )
    admitted = run.admit(dataset, metadata={"license": ["MIT"] * len(dataset)})
    loader = DataLoader(admitted, batch_size=16, shuffle=True)
    readers: subprocess.Popen[bytes] | None = None
    times: dict[bool, list[float]] = {True: [], False: []}
    done, is_read, begun = 0, False, 0.0
    while done < NUM_BLOCKS * BLOCK_STEPS:
        for batch in run.batches(loader):
            if done % BLOCK_STEPS == 0:
                is_read = (done // BLOCK_STEPS) % 2 == 1
                readers = _hold(readers, runs, log, is_read=is_read)
                begun = process_time()
            with run.step(batch):
                loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                optimizer.zero_grad()
            done += 1
            if done % BLOCK_STEPS == 0:
                times[is_read].append((process_time() - begun) / BLOCK_STEPS)
            if done >= NUM_BLOCKS * BLOCK_STEPS:
                break
    _stop(readers, log)
    run.close()
    ratios = [read / alone for read, alone in zip(times[True], times[False], strict=True)]
    return median(ratios), max(ratios) - min(ratios)


def _hold(
    readers: subprocess.Popen[bytes] | None, runs: Path, log: Path, *, is_read: bool
) -> subprocess.Popen[bytes] | None:
    """Start the readers for a block in which the run is read, and stop them for the others."""
    if not is_read:
        _stop(readers, log)
        return None
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root / "src"), str(root)])
    started = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("web_readers.py")), str(runs), str(log)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    while not log.with_suffix(".ready").exists():
        sleep(0.1)
    return started


def _stop(readers: subprocess.Popen[bytes] | None, log: Path) -> None:
    if readers is not None:
        log.with_suffix(".ready").unlink(missing_ok=True)
        readers.wait(timeout=60)
