"""A million examples are decided and stored at 500,000 per second or more.

Caveat: two threads; six rules over seven attributes with about 200,000 distinct tuples, as metadata
of crawled code files has them; decisions, truths and one row per example are sealed as Parquet and
flushed to the disk. Contents are not digested (``verify_content=False``): hashing them costs what
reading them costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from unittest import mock

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from benchmarks.figure import Figure, middle

import gradledger as gl
from gradledger.segment import read_table

NUM_EXAMPLES = 1_000_000
WARMUPS, REPEATS = 1, 9
NOW = datetime(2026, 1, 31, tzinfo=UTC)
LICENSES = (
    "MIT", "Apache-2.0", "BSD-3-Clause", "BSD-2-Clause", "ISC", "MPL-2.0", "GPL-3.0-only",
    "GPL-2.0-or-later", "LGPL-2.1-or-later", "MIT OR Apache-2.0", "Apache-2.0 WITH LLVM-exception",
    "Unlicense", "CC0-1.0", "Zlib", "PSF-2.0", "NOASSERTION", "AGPL-3.0-only", "MIT AND ISC",
)  # fmt: skip

POLICY = """
format: gradledger.policy/1
policy: bench.admission
version: "1"
attributes:
  license: {type: spdx}
  language: {type: string}
  is_test: {type: bool}
  opt_out: {type: bool}
  retrieved_at: {type: timestamp}
  bits_per_byte: {type: float}
  stars: {type: int}
params:
  accepted: [MIT, Apache-2.0, BSD-3-Clause, BSD-2-Clause, ISC, Unlicense, CC0-1.0, Zlib, PSF-2.0]
rules:
  - {id: open, effect: admit, when: "spdx_satisfies(license, :accepted)"}
  - {id: opted-out, effect: deny, when: "opt_out"}
  - {id: copyleft, effect: deny, when: "license LIKE 'AGPL%' OR license LIKE 'GPL%'"}
  - {id: dense, effect: quarantine, when: "bits_per_byte >= 6.5"}
  - {id: fresh, effect: defer, when: "retrieved_at >= '2025-12-31'"}
  - {id: no-name, effect: quarantine, when: "license = 'NOASSERTION' AND stars < 10"}
classes:
  - {id: test, when: is_test}
  - {id: script, when: "language IN ('shell', 'lua')"}
  - {id: code, when: "stars >= 0"}
bands: {attribute: bits_per_byte, edges: [1.5, 4.5], names: [repetitive, ordinary, dense]}
profiles:
  shallow: {default: 0, weights: [{blocks: "1", weight: 1}]}
assign:
  by:
    - {class: test, profile: shallow}
"""


class _Items:
    """A data set whose items nobody reads."""

    def __len__(self) -> int:
        return NUM_EXAMPLES

    def __getitem__(self, index: int) -> int:
        return index


def measure() -> list[Figure]:
    """Admit the same table to fresh runs."""
    torch.set_num_threads(2)
    pa.set_cpu_count(2)
    table = _metadata()
    seconds = [_admit(table) for _ in range(WARMUPS + REPEATS)][WARMUPS:]
    rate, spread = middle([NUM_EXAMPLES / value for value in seconds])
    caveat = "1,000,000 examples, six rules, about 200,000 distinct tuples, two threads"
    return [
        Figure(
            "story.admission_rate", rate, "examples/s", "higher", 500_000.0, spread=spread,
            caveat=caveat,
        )
    ]  # fmt: skip


def _admit(table: pa.Table) -> float:
    """Return the wall seconds of one ``run.admit`` and check what it wrote."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with TemporaryDirectory() as folder, _two_threads():
        path = Path(folder) / "run"
        run = gl.record(path, model, optimizer, policy=POLICY, verify_content=False, now=NOW)
        start = perf_counter()
        admitted = run.admit(_Items(), metadata=table)
        seconds = perf_counter() - start
        _check(path, len(admitted))
        run.close()
    return seconds


def _check(path: Path, num_admitted: int) -> None:
    """Refuse to report a rate of something that is not there."""
    examples = read_table(path, "decisions/examples", ["example_id", "decision"])
    truths = read_table(path, "decisions/truths", ["decision"])
    verdicts = np.asarray(read_table(path, "decisions/distinct", ["verdict"])["verdict"])
    stored = int((verdicts[np.asarray(examples["decision"])] == "admit").sum())
    ids = len(examples["example_id"].unique())
    if (stored, ids, len(truths)) != (num_admitted, NUM_EXAMPLES, 6 * len(verdicts)):
        message = f"stored {stored} admitted, {ids} ids, {len(truths)} truths"
        raise RuntimeError(message)


@contextmanager
def _two_threads() -> Iterator[None]:
    """Hold the embedded engine to two threads wherever it is opened."""
    connect: Any = duckdb.connect

    def limited(*arguments: Any, config: Any = None, **options: Any) -> Any:
        return connect(*arguments, config={**(config or {}), "threads": "2"}, **options)

    with mock.patch.object(duckdb, "connect", limited):
        yield


def _metadata() -> pa.Table:
    """Draw metadata: repositories share licence and stars, files differ in the rest."""
    rng = np.random.default_rng(7)
    num_sources = 20_000
    source = np.sort(rng.zipf(1.3, NUM_EXAMPLES) % num_sources)
    popular = rng.zipf(2.0, len(LICENSES) * 40) % len(LICENSES)
    license_of = popular[rng.integers(0, len(popular), num_sources)]
    stars_of = np.minimum(rng.zipf(1.6, num_sources), 50_000)
    day_of = rng.integers(0, 400, num_sources)
    languages = np.array(["python", "c", "rust", "go", "shell", "lua"])
    names = np.array(
        [f"github:owner-{number % 7919}/repository-{number}" for number in range(num_sources)]
    )
    licenses = np.array(LICENSES)[license_of[source]]
    keys = pa.array(np.arange(NUM_EXAMPLES)).cast(pa.string())
    start = np.datetime64("2024-12-15", "us")
    return pa.table(
        {
            "key": pc.binary_join_element_wise(names[source], keys, "/"),
            "source": names[source],
            "license": pa.array(licenses, mask=rng.random(NUM_EXAMPLES) < 0.02),
            "language": languages[rng.zipf(1.8, NUM_EXAMPLES) % len(languages)],
            "is_test": rng.random(NUM_EXAMPLES) < 0.2,
            "opt_out": pa.array(
                rng.random(NUM_EXAMPLES) < 0.03, mask=rng.random(NUM_EXAMPLES) < 0.01
            ),
            "retrieved_at": start + day_of[source].astype("timedelta64[D]"),
            "bits_per_byte": np.round(np.clip(rng.normal(3.2, 0.5, NUM_EXAMPLES), 0.1, 8.0), 1),
            "stars": stars_of[source],
        }
    )
