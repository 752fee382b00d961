"""No parser crashes, hangs or grows without end on whatever bytes it is given.

Caveat: inputs are good ones with bytes or members changed, drawn by Hypothesis, each parser in a
process with 512 MiB of address space above its imports and 10 s per input; seconds are wall time,
four parsers at once. The bar is ten minutes each; GRADLEDGER_FUZZ_SECONDS sets them, else 60.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.fuzz_material import make_material
from benchmarks.fuzz_parser import MEMORY_BYTES, Fuzzed, fuzz
from benchmarks.fuzz_targets import names
from benchmarks.scratch import scratch

SECONDS, BAR_SECONDS, NUM_AT_ONCE, SEED = 60.0, 600.0, 4, 500
VARIABLE = "GRADLEDGER_FUZZ_SECONDS"


def measure() -> list[Figure]:
    """Fuzz every parser, and count what is no answer."""
    seconds = float(os.environ.get(VARIABLE, SECONDS))
    with scratch() as name, ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        folder = Path(name)
        make_material(folder)
        parsers = names()
        found = list(pool.map(lambda parser: fuzz(parser, folder, seconds, SEED), parsers))
    return figures(found)


def figures(found: list[Fuzzed]) -> list[Figure]:
    """Return the figures of fuzzed parsers."""
    failures = [f"{item.name}: {text:.160}" for item in found for text in item.failures]
    largest = max(found, key=lambda item: item.peak_growth_mb)
    slowest = max(found, key=lambda item: item.slowest_seconds)
    each = ", ".join(f"{item.name} {item.inputs}" for item in found)
    cap = MEMORY_BYTES / (1 << 20)
    worked = sorted(item.processor_seconds for item in found)
    shared = f"{worked[0]:.0f} to {worked[-1]:.0f} s of a processor each"
    return [
        Figure("log.fuzz", min(item.seconds for item in found), "seconds", "higher", BAR_SECONDS,
               caveat=f"per parser, the least of {len(found)}; {shared}"),
        Figure("log.fuzz_inputs", float(sum(item.inputs for item in found)), "count", caveat=each),
        Figure("log.fuzz_failures", float(len(failures)), "count", "equal", 0.0,
               caveat="; ".join(failures[:4]) or "none"),
        Figure("log.fuzz_growth", largest.peak_growth_mb, "MiB", "lower", cap,
               caveat=f"peak of resident memory, {largest.name}"),
        Figure("log.fuzz_slowest", slowest.slowest_seconds, "seconds", "lower", 10.0,
               caveat=f"one input of {slowest.name}, on a machine with other work"),
    ]  # fmt: skip
