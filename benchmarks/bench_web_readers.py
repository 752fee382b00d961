"""Twenty readers of a run that trains: what they cost the training, and whether any meets an error.

Caveat: wall time of the training's own steps, in blocks with and without readers that take turns,
first one and then the other first. The server runs beside it on the same cores and reads the run
that is written. Readers run on the same machine too, as cheap as can be; a browser's own work would
be done elsewhere.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

import torch
from benchmarks.figure import Figure
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl

NUM_READERS, NUM_PAIRS, BLOCK_SECONDS, PAUSE_SECONDS = 20, 16, 3.0, 0.5
_ROOT = Path(__file__).parents[1]

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
    """Train in this process; serve and read in two others."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        runs = place / "runs"
        runs.mkdir()
        (place / "policy.yaml").write_text(POLICY)
        steps = _training(runs / "live", place / "policy.yaml")
        for _ in range(50):
            next(steps)
        server, readers = _start(runs, place)
        try:
            ratios, busy = _blocks(steps, place / "read", server.pid)
        finally:
            (place / "stop").touch()
            readers.wait(timeout=60)
            server.terminate()
            server.wait(timeout=60)
            steps.close()
        pages, errors, late = (place / "said").read_text().split()
    low, _, high = quantiles(ratios, n=4)
    return [
        Figure("web.readers_slowdown_ratio", median(ratios), "ratio", "lower", 1.02,
               spread=high - low,
               caveat=f"{NUM_READERS} readers of the live overview, {pages} answers; median of "
                      f"{len(ratios)} pairs of blocks, spread: their quartiles"),
        Figure("web.readers_server_share", busy, "ratio", "lower", 0.02,
               caveat="processor time of the server while it is read, over that of all cores: what "
                      "a training that used them all would lose at most; it gives way besides"),
        Figure("web.readers_errors", float(errors), "count", "equal", 0.0,
               caveat="answers other than a page or not changed, and connections cut off"),
        Figure("web.readers_p95_seconds", float(late), "seconds",
               caveat="until a reader has the live page, beside the training"),
    ]  # fmt: skip


def _training(path: Path, policy: Path) -> Generator[None]:
    """Train step by step; close the run where no further step is asked for."""
    torch.manual_seed(0)
    inputs = torch.randn(2048, 64)
    dataset = TensorDataset(inputs, (inputs[:, 0] > 0).long())
    layers = [torch.nn.Linear(64, 512), torch.nn.GELU(), torch.nn.Linear(512, 512)]
    model = torch.nn.Sequential(*layers, torch.nn.GELU(), torch.nn.Linear(512, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    run = gl.record(path, model, optimizer, policy=policy)
    admitted = run.admit(dataset, metadata={"license": ["MIT"] * len(dataset)})
    loader = DataLoader(admitted, batch_size=32, shuffle=True)
    try:
        while True:
            for batch in run.batches(loader):
                with run.step(batch):
                    loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    optimizer.zero_grad()
                yield
    finally:
        run.close()


def _start(runs: Path, place: Path) -> tuple[subprocess.Popen[Any], subprocess.Popen[Any]]:
    path = os.pathsep.join([str(_ROOT / "src"), str(_ROOT)])
    surroundings = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "TERM": "dumb"}
    server = subprocess.Popen(
        [sys.executable, "-m", "gradledger.cli.main", "serve", str(runs), "--port", "0"],
        env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = server.stderr.readline() if server.stderr else ""
    address = re.search(r":(\d+)/\S*token=(\S+)", line)
    if address is None:
        message = f"no address: {line}"
        raise RuntimeError(message)
    asked = [address[1], address[2], "/run/live/overview", str(place)]
    readers = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("web_readers.py")), *asked],
        env=surroundings,
    )
    sleep(2.0)
    return server, readers


def _blocks(steps: Iterator[None], reading: Path, server: int) -> tuple[list[float], float]:
    """Return seconds of a step with readers over without, pair by pair, and the server's share."""
    ratios, used, wall = [], 0.0, 0.0
    for number in range(NUM_PAIRS):
        order = (True, False) if number % 2 else (False, True)
        times = {}
        for is_read in order:
            before, begun = _processor_seconds(server), perf_counter()
            times[is_read] = _block(steps, reading, is_read=is_read)
            if is_read:
                used += _processor_seconds(server) - before
                wall += perf_counter() - begun
        ratios.append(times[True] / times[False])
    reading.unlink(missing_ok=True)
    return ratios, used / wall / (os.cpu_count() or 1)


def _processor_seconds(process: int) -> float:
    """Return the processor seconds of a process and all its threads, from ``/proc``."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _block(steps: Iterator[None], reading: Path, *, is_read: bool) -> float:
    """Train for some seconds and return those of one step; the first moment is not counted."""
    if is_read:
        reading.touch()
    else:
        reading.unlink(missing_ok=True)
    begun, first, count = perf_counter(), 0.0, 0
    while (now := perf_counter()) - begun < PAUSE_SECONDS + BLOCK_SECONDS:
        if not first and now - begun >= PAUSE_SECONDS:
            first, count = now, 0
        next(steps)
        count += 1
    return (perf_counter() - first) / count
