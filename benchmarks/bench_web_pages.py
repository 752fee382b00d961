"""Pages of a run of a million visits in 32 groups: first view, clicks, memory.

Caveat: seconds are of the processor, one thread, in the process of the server; a browser's own time
is not in them. Tables hold random figures. Clicks are on links of the run's pages; pages narrowed
to some steps are read from the tables and stand in a figure of their own.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from benchmarks.figure import Figure
from benchmarks.web_run import GROUPS_PER_BLOCK, NUM_BLOCKS, NUM_SOURCES, PROBE, write_run

NUM_STEPS, BATCH, NUM_EXAMPLES = 5000, 200, 100_000


def measure() -> list[Figure]:
    """Serve a prepared run in a process of its own and click through it."""
    with TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        write_run(runs / "large", num_steps=NUM_STEPS, batch=BATCH, num_examples=NUM_EXAMPLES)
        first = _in_process(runs, "first")
        prepared = _in_process(runs, "prepare")
        clicks = _in_process(runs, "clicks")
    return [
        Figure("web.first_view_seconds", first["seconds"], "seconds", "lower", 1.0,
               caveat="overview of 1M visits x 32 groups in a fresh process, nothing prepared"),
        Figure("web.memory_bytes", clicks["memory"], "bytes", "lower", 1e9,
               caveat="largest resident memory of the server over all clicks"),
        Figure("web.click_p95_seconds", clicks["p95"], "seconds", "lower", 0.3,
               caveat=f"{clicks['count']} clicks on links of the prepared run, median "
                      f"{clicks['median']:.3f} s"),
        Figure("web.narrowed_p95_seconds", clicks["narrowed"], "seconds",
               caveat="pages narrowed to some steps, which nothing prepares"),
        Figure("web.prepare_seconds", prepared["seconds"], "seconds",
               caveat="processor seconds of the background preparation, once per run"),
    ]  # fmt: skip


def _in_process(runs: Path, part: str) -> dict[str, float]:
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root / "src"), str(root)])
    answer = subprocess.run(
        [sys.executable, __file__, part, str(runs)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def _part(part: str, runs: Path) -> dict[str, float]:
    if part == "prepare":
        from gradledger.web.preparer import prepare

        begun = process_time()
        prepare(runs, runs / ".work", "large")
        return {"seconds": process_time() - begun}
    from benchmarks.web_client import Client, peak_memory

    client = Client(runs, runs / ".work")
    begun = process_time()
    client.get("/run/large/overview")
    first = process_time() - begun
    if part == "first":
        return {"seconds": first}
    times = sorted(client.seconds(url) for url in _links())
    narrowed = sorted(client.seconds(url) for url in _narrowed())
    return {
        "p95": times[int(0.95 * len(times))],
        "median": times[len(times) // 2],
        "count": len(times),
        "narrowed": narrowed[int(0.95 * len(narrowed))],
        "memory": peak_memory(),
    }


def _links() -> list[str]:
    draw = random.Random(7)  # noqa: S311 - a sample, not a secret
    at = "/run/large/"
    blocks = [f"layers.{number}" for number in range(NUM_BLOCKS)]
    groups = [f"{block}.part{part}" for block in blocks for part in range(GROUPS_PER_BLOCK)]
    links = [f"{at}{page}" for page in ("overview", "matrix", "trace", "policies", "follow")]
    links += [f"{at}trace?group={name}" for name in [*blocks, *groups]]
    links += [f"{at}matrix?columns={key}" for key in ("license", "source", "rule")]
    links += [f"{at}capability?name={PROBE}", f"{at}capability?name={PROBE}&by=source"]
    links += [f"{at}follow?where=class=class-{number}" for number in range(6)]
    links += [f"{at}follow?where=license={name}" for name in ("MIT", "MPL-2.0")]
    links += [f"{at}follow?where=source=source-{draw.randrange(NUM_SOURCES)}" for _ in range(20)]
    links += [f"{at}example?example={draw.randrange(NUM_EXAMPLES)}" for _ in range(60)]
    links += [f"{at}examples?page={draw.randrange(1, 2000)}" for _ in range(10)]
    links += [f"{at}books?step={draw.randrange(1, NUM_STEPS)}" for _ in range(10)]
    draw.shuffle(links)
    return links


def _narrowed() -> list[str]:
    at = "/run/large/"
    spans = ((1, 500), (1000, 1500), (2000, 4000))
    return [
        f"{at}{page}?start={start}&stop={stop}"
        for start, stop in spans
        for page in ("trace", "matrix", "books")
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_part(sys.argv[1], Path(sys.argv[2]))) + "\n")
