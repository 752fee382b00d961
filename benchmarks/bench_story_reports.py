"""Hostile metadata is inert in every report, and a report on a run is there at once.

Caveat: texts, policy and records of a small run are poisoned with 30 hostile texts, one at a time;
pages are read by the HTML parser of the standard library, not by a browser.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from benchmarks.figure import Figure, middle, timed
from benchmarks.hostile import CASES, poison, problems_of_json, problems_of_page
from torch.utils.data import DataLoader, TensorDataset

import gradledger as gl

POLICY = """
format: gradledger.policy/1
policy: bench.reports
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
    """Count the texts that stay inert in both reports and both forms; time one report."""
    with TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        _record(run_dir)
        inert = sum(_is_inert(run_dir, Path(folder) / name, text) for name, text in CASES.items())
        seconds, spread = middle(timed(lambda: _write(run_dir), repeats=5))
    return [
        Figure("story.report_hostile_inert", float(inert), "count", "equal", float(len(CASES)),
               caveat="cases of 30 that are inert in rights and safety, HTML and JSON"),
        Figure("story.report_seconds", seconds, "seconds", "lower", 2.0, goal=1.0, spread=spread,
               caveat="a rights report on a run of 64 steps, opening the run included"),
    ]  # fmt: skip


def _record(run_dir: Path) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(256, 8)
    dataset = TensorDataset(inputs, (inputs[:, 0] > 0).long())
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    metadata = {
        "source": [f"sensor {number % 7}" for number in range(256)],
        "license": [("MIT", "BSD-3-Clause", "NOASSERTION")[number % 3] for number in range(256)],
        "path": [f"readings/{number}.csv" for number in range(256)],
    }
    with gl.record(run_dir, model, optimizer, policy=POLICY, opening={"source": "seed 0"}) as run:
        kept = run.admit(dataset, metadata=metadata)
        for _ in range(4):
            for batch in run.batches(DataLoader(kept, batch_size=16)):
                with run.step(batch):
                    features, labels = batch
                    torch.nn.functional.cross_entropy(model(features), labels).backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    optimizer.zero_grad()


def _is_inert(run_dir: Path, folder: Path, text: str) -> bool:
    copy = poison(run_dir, folder, text)
    with gl.open(copy) as ledger:
        reports = [ledger.report(kind) for kind in ("rights", "safety")]
    return not any(
        problems_of_page(report.to_html()) + problems_of_json(report.to_json())
        for report in reports
    )


def _write(run_dir: Path) -> None:
    with gl.open(run_dir) as ledger:
        ledger.report("rights").write(run_dir.with_name("run.rights.html"))
