"""Verification checks 200 MB of canonical rows a second with two processes; a receipt takes 20 ms.

Caveat: a run of rows with 32 groups, from a model of toy layers with large batches; everything that
verification checks is checked, model states are small. Wall time, median of seven; two cores; the
receipt is of one visit, its file read and parsed each time.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import torch
from benchmarks.figure import Figure, middle, timed
from torch import nn, optim
from torch.utils.data import TensorDataset

import gradledger as gl
from gradledger.canon import read_leaf
from gradledger.evidence import check_evidence
from gradledger.log import LogReader, SigningKey, VerifierKey
from gradledger.schema import SegmentLeaf
from gradledger.verify import check_run

NUM_LAYERS, WIDTH, ROWS, STEPS, REPEATS = 32, 4, 32_768, 32, 7


class _SideBySide(nn.Module):
    """Layers whose outputs are added up."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(NUM_LAYERS))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.stack([part(inputs) for part in self.parts]).sum(0)


def measure(num_steps: int = STEPS, rows: int = ROWS) -> list[Figure]:
    """Verify a run with one process and with two, and a receipt from it."""
    with TemporaryDirectory() as folder:
        run_dir, key = record_wide_run(Path(folder), num_steps, rows)
        num_bytes = row_bytes(run_dir)
        seconds = {}
        for processes in (1, 2):
            found = timed(partial(check, run_dir, key, processes), repeats=REPEATS)
            seconds[processes] = middle(found)
        start = process_time()
        check(run_dir, key, 1)
        busy = process_time() - start
        receipt_ms = middle(receipt_times(run_dir, key))
    rates = {n: num_bytes / found[0] / 1e6 for n, found in seconds.items()}
    spread = num_bytes / 1e6 * seconds[2][1] / seconds[2][0] ** 2
    caveat = (
        f"{num_bytes / 1e6:.0f} MB of rows; {num_bytes / busy / 1e6:.0f} MB for each second of one "
        "core's own time"
    )
    return [
        Figure("log.verify_rate", rates[2], "MB/s", "higher", 200.0, spread=spread, caveat=caveat),
        Figure("log.verify_rate_one_process", rates[1], "MB/s", "higher"),
        Figure("log.receipt_ms", receipt_ms[0], "ms", "lower", 20.0, spread=receipt_ms[1]),
    ]


def check(run_dir: Path, key: VerifierKey, processes: int) -> None:
    """Verify; a rate over a run that is not clean would be none."""
    report = check_run(run_dir, [key], processes=processes)
    if not report.is_clean:
        message = f"the run does not verify: {report}"
        raise ValueError(message)


def receipt_times(run_dir: Path, key: VerifierKey) -> list[float]:
    """Return milliseconds of checking the receipt of a visit, again and again."""
    path = run_dir.with_name("visit.json")
    with gl.open(run_dir) as ledger:
        ledger.receipt(visit="2:0:3", out=path)
    found = []
    for _ in range(50):
        start = perf_counter()
        checked = check_evidence(path, [key])
        found.append(1e3 * (perf_counter() - start))
        if not checked.is_sound:
            message = "the receipt does not hold"
            raise ValueError(message)
    return found


def row_bytes(run_dir: Path) -> int:
    """Return the canonical bytes of all rows in a run."""
    leaves = map(read_leaf, LogReader(run_dir).leaves())
    return sum(leaf.num_rows * leaf.row_bytes for leaf in leaves if isinstance(leaf, SegmentLeaf))


def record_wide_run(folder: Path, num_steps: int, rows: int) -> tuple[Path, VerifierKey]:
    """Record a run whose visits have 32 parameter groups."""
    torch.manual_seed(5)
    key = SigningKey.generate("benchmarks.test/verify")
    model = _SideBySide().double()
    optimizer = optim.SGD(model.parameters(), lr=1e-3)
    inputs = torch.randn(rows, WIDTH, dtype=torch.float64)
    with gl.record(folder / "run", model, optimizer, key=key, seal_seconds=0.0) as run:
        run.admit(TensorDataset(inputs))
        for _ in range(num_steps):
            with run.step((inputs,), examples=range(rows)):
                model(inputs).square().mean().backward()
                optimizer.step()
            optimizer.zero_grad()
    origin = LogReader(folder / "run").origin
    return folder / "run", key.named(origin).verifier
